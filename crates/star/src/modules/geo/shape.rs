//! The geometries as values of Starlark.

use std::fmt;

use allocative::Allocative;
use geo::{Distance, Euclidean, Geodesic, Geometry, Length};
use starlark::{
    any::ProvidesStaticType,
    environment::{Methods, MethodsBuilder},
    starlark_module, starlark_simple_value,
    values::{NoSerialize, StarlarkValue, Value, ValueLike, starlark_value},
};

macro_rules! geometry {
    ($name:ident, $inner:ty, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, ProvidesStaticType, NoSerialize, Allocative)]
        pub struct $name(#[allocative(skip)] pub $inner);

        starlark_simple_value!($name);
    };
}

geometry!(Point, geo::Point, "A place.");
geometry!(Line, geo::LineString, "Places, joined by straight lines.");
geometry!(Polygon, geo::Polygon, "An area with holes.");
geometry!(MultiPolygon, geo::MultiPolygon, "Several areas.");

impl fmt::Display for Point {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Point({}, {})", self.0.x(), self.0.y())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Line({} points)", self.0.0.len())
    }
}

impl fmt::Display for Polygon {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Polygon({} rings)", self.0.num_rings())
    }
}

impl fmt::Display for MultiPolygon {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "MultiPolygon({} polygons)", self.0.0.len())
    }
}

/// Any of the geometries, looked at.
pub enum Shape<'v> {
    Point(&'v geo::Point),
    Line(&'v geo::LineString),
    Polygon(&'v geo::Polygon),
    MultiPolygon(&'v geo::MultiPolygon),
}

impl<'v> Shape<'v> {
    pub fn of(value: Value<'v>) -> Option<Self> {
        let point = value.downcast_ref::<Point>().map(|of| Self::Point(&of.0));
        let line = || value.downcast_ref::<Line>().map(|of| Self::Line(&of.0));
        let area = || {
            value
                .downcast_ref::<Polygon>()
                .map(|of| Self::Polygon(&of.0))
        };
        let areas = || {
            let found = value.downcast_ref::<MultiPolygon>();
            found.map(|of| Self::MultiPolygon(&of.0))
        };
        point.or_else(line).or_else(area).or_else(areas)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Point(_) => Point::TYPE,
            Self::Line(_) => Line::TYPE,
            Self::Polygon(_) => Polygon::TYPE,
            Self::MultiPolygon(_) => MultiPolygon::TYPE,
        }
    }

    pub fn geometry(&self) -> Geometry {
        match self {
            Self::Point(point) => Geometry::Point(**point),
            Self::Line(line) => Geometry::LineString((*line).clone()),
            Self::Polygon(area) => Geometry::Polygon((*area).clone()),
            Self::MultiPolygon(areas) => Geometry::MultiPolygon((*areas).clone()),
        }
    }
}

starlark::methods_static!(POINT_METHODS = point_methods);
starlark::methods_static!(LINE_METHODS = line_methods);

#[starlark_value(type = "Point")]
impl<'v> StarlarkValue<'v> for Point {
    fn get_methods() -> Option<&'static Methods> {
        Some(POINT_METHODS.methods())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>() == Some(self))
    }
}

#[starlark_value(type = "Line")]
impl<'v> StarlarkValue<'v> for Line {
    fn get_methods() -> Option<&'static Methods> {
        Some(LINE_METHODS.methods())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>() == Some(self))
    }
}

#[starlark_value(type = "Polygon")]
impl<'v> StarlarkValue<'v> for Polygon {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>() == Some(self))
    }
}

#[starlark_value(type = "MultiPolygon")]
impl<'v> StarlarkValue<'v> for MultiPolygon {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>() == Some(self))
    }
}

#[starlark_module]
#[allow(non_snake_case)]
fn point_methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn x(this: &Point) -> starlark::Result<f64> {
        Ok(this.0.x())
    }
    #[starlark(attribute)]
    fn y(this: &Point) -> starlark::Result<f64> {
        Ok(this.0.y())
    }
    #[starlark(attribute)]
    fn lat(this: &Point) -> starlark::Result<f64> {
        Ok(this.0.x())
    }
    #[starlark(attribute)]
    fn lng(this: &Point) -> starlark::Result<f64> {
        Ok(this.0.y())
    }

    /// In the units of the coordinates.
    fn distance(this: &Point, p2: &Point) -> starlark::Result<f64> {
        Ok(Euclidean.distance(&this.0, &p2.0))
    }

    /// In metres on the ellipsoid WGS 84.
    fn distanceGeodesic(this: &Point, p2: &Point) -> starlark::Result<f64> {
        Ok(Geodesic.distance(this.0, p2.0))
    }
}

#[starlark_module]
#[allow(non_snake_case)]
fn line_methods(builder: &mut MethodsBuilder) {
    /// In the units of the coordinates.
    fn length(this: &Line) -> starlark::Result<f64> {
        Ok(Euclidean.length(&this.0))
    }

    /// In metres on the ellipsoid WGS 84.
    fn lengthGeodesic(this: &Line) -> starlark::Result<f64> {
        Ok(Geodesic.length(&this.0))
    }
}
