//! `geo.star`: points, lines and polygons, and what lies in what.
//!
//! The first coordinate of a point is its longitude and the second its
//! latitude, as in GeoJSON. The fields are named otherwise, as scripts know
//! them: `lat` is the first and `lng` the second.

mod geojson;
mod shape;

use geo::{Coord, Intersects, LineString, algorithm::covers::Covers};
use starlark::{
    environment::GlobalsBuilder,
    eval::Evaluator,
    starlark_module,
    values::{Heap, Value, float::UnpackFloat},
};

use self::shape::{Line, MultiPolygon, Point, Polygon, Shape};
use super::{
    bounds::POINTS_MAX,
    refusal::{Refusal, argument},
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("geo", functions);
}

#[starlark_module]
#[allow(non_snake_case)]
fn functions(builder: &mut GlobalsBuilder) {
    fn Point(x: UnpackFloat, y: UnpackFloat) -> starlark::Result<Point> {
        Ok(Point(geo::Point(coordinate(x.0, y.0)?)))
    }

    /// A line through points, each a `Point` or a pair of numbers.
    fn Line<'v>(points: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Line> {
        Ok(Line(line(points, eval.heap())?))
    }

    /// A polygon from its rings: the outer one, then its holes.
    fn Polygon<'v>(
        rings: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Polygon> {
        Ok(Polygon(polygon(rings, eval.heap())?))
    }

    fn MultiPolygon<'v>(
        polygons: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<MultiPolygon> {
        let heap = eval.heap();
        let each = polygons.iterate(heap)?.map(|one| match Shape::of(one) {
            Some(Shape::Polygon(known)) => Ok(known.clone()),
            _ => polygon(one, heap),
        });
        let all = each.collect::<starlark::Result<Vec<_>>>()?;
        Ok(MultiPolygon(geo::MultiPolygon(all)))
    }

    /// Whether all of `a` lies in the polygon or polygons `b`, border included.
    fn within<'v>(a: Value<'v>, b: Value<'v>) -> starlark::Result<bool> {
        let inner = shape("a", a)?;
        match shape("b", b)? {
            Shape::Polygon(outer) => Ok(inner.lies_in(outer)),
            Shape::MultiPolygon(outer) => Ok(inner.lies_in(outer)),
            other => Err(argument(format!(
                "b has to be a Polygon or a MultiPolygon, not a {}",
                other.name()
            ))),
        }
    }

    /// Whether two geometries have a point in common.
    fn intersects<'v>(a: Value<'v>, b: Value<'v>) -> starlark::Result<bool> {
        let (a, b) = (shape("a", a)?.geometry(), shape("b", b)?.geometry());
        Ok(a.intersects(&b))
    }

    /// The geometries of a GeoJSON text and the properties of each.
    fn parseGeoJSON<'v>(
        data: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<(Vec<Value<'v>>, Vec<Value<'v>>)> {
        geojson::parse(data, eval.heap())
    }
}

impl Shape<'_> {
    fn lies_in<O>(&self, outer: &O) -> bool
    where
        O: Covers<geo::Geometry>,
    {
        outer.covers(&self.geometry())
    }
}

fn shape<'v>(name: &str, value: Value<'v>) -> starlark::Result<Shape<'v>> {
    Shape::of(value).ok_or_else(|| {
        argument(format!(
            "{name} has to be a Point, Line, Polygon or MultiPolygon, not {}",
            value.get_type()
        ))
    })
}

fn coordinate(x: f64, y: f64) -> starlark::Result<Coord> {
    match x.is_finite() && y.is_finite() {
        true => Ok(Coord { x, y }),
        false => Err(argument("a coordinate is not a finite number")),
    }
}

/// A `Point`, or a list or tuple that begins with two numbers.
fn point<'v>(value: Value<'v>, heap: Heap<'v>) -> starlark::Result<Coord> {
    use starlark::values::UnpackValue;
    if let Some(Shape::Point(point)) = Shape::of(value) {
        return Ok(point.0);
    }
    let wrong = || argument(format!("{} is not a point", value.to_repr()));
    let mut numbers = value.iterate(heap).map_err(|_| wrong())?.map(|number| {
        UnpackFloat::unpack_value(number)
            .ok()
            .flatten()
            .map(|number| number.0)
    });
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(x), Some(y)) => coordinate(x, y),
        _ => Err(wrong()),
    }
}

fn line<'v>(value: Value<'v>, heap: Heap<'v>) -> starlark::Result<LineString> {
    if let Some(Shape::Line(known)) = Shape::of(value) {
        return Ok(known.clone());
    }
    let mut points = Vec::new();
    for each in value.iterate(heap)? {
        if POINTS_MAX <= points.len() {
            return Err(Refusal::TooLarge {
                what: "the geometry",
                size_max: POINTS_MAX as u64,
                unit: "points",
            }
            .into());
        }
        points.push(point(each, heap)?);
    }
    Ok(LineString(points))
}

fn polygon<'v>(rings: Value<'v>, heap: Heap<'v>) -> starlark::Result<geo::Polygon> {
    let mut lines = Vec::new();
    for ring in rings.iterate(heap)? {
        let ring = line(ring, heap)?;
        if ring.0.len() < 3 {
            return Err(argument("a ring of a polygon needs three points"));
        }
        lines.push(ring);
    }
    let mut lines = lines.into_iter();
    let outer = lines
        .next()
        .ok_or_else(|| argument("a polygon needs an outer ring"))?;
    Ok(geo::Polygon::new(outer, lines.collect()))
}
