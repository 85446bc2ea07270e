//! GeoJSON as geometries and properties.

use starlark::values::{Heap, Value, dict::DictRef};

use super::{
    line, point, polygon,
    shape::{Line, MultiPolygon, Point, Polygon},
};
use crate::modules::{json, refusal::malformed};

/// Geometries and the properties of each, in two lists of the same length.
pub type Features<'v> = (Vec<Value<'v>>, Vec<Value<'v>>);

/// Reads a collection of features, one feature, or a bare geometry.
///
/// # Errors
///
/// When it is not JSON, or no GeoJSON, or a geometry that has no value here.
pub fn parse<'v>(text: &str, heap: Heap<'v>) -> starlark::Result<Features<'v>> {
    let root = json::parse(text.as_bytes(), heap).map_err(|error| malformed("GeoJSON", error))?;
    let mut features = (Vec::new(), Vec::new());
    match kind(root)? {
        "FeatureCollection" => {
            for feature in member(root, "features")?.iterate(heap)? {
                push(feature, &mut features, heap)?;
            }
        }
        "Feature" => push(root, &mut features, heap)?,
        _ => {
            features.0.push(geometry(root, heap)?);
            features.1.push(Value::new_none());
        }
    }
    Ok(features)
}

fn push<'v>(feature: Value<'v>, to: &mut Features<'v>, heap: Heap<'v>) -> starlark::Result<()> {
    let shape = member(feature, "geometry")?;
    to.0.push(match shape.is_none() {
        true => shape,
        false => geometry(shape, heap)?,
    });
    to.1.push(member(feature, "properties").unwrap_or(Value::new_none()));
    Ok(())
}

fn geometry<'v>(value: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
    let places = |value| member(value, "coordinates");
    Ok(match kind(value)? {
        "Point" => heap.alloc(Point(geo::Point(point(places(value)?, heap)?))),
        "LineString" => heap.alloc(Line(line(places(value)?, heap)?)),
        "Polygon" => heap.alloc(Polygon(polygon(places(value)?, heap)?)),
        "MultiPolygon" => {
            let each = places(value)?.iterate(heap)?.map(|one| polygon(one, heap));
            let all = each.collect::<starlark::Result<Vec<_>>>()?;
            heap.alloc(MultiPolygon(geo::MultiPolygon(all)))
        }
        other => {
            return Err(malformed(
                "GeoJSON",
                format_args!("a geometry of type {other:?} is not supported"),
            ));
        }
    })
}

fn kind<'v>(value: Value<'v>) -> starlark::Result<&'v str> {
    member(value, "type")?
        .unpack_str()
        .ok_or_else(|| malformed("GeoJSON", "a type is not a string"))
}

fn member<'v>(value: Value<'v>, name: &str) -> starlark::Result<Value<'v>> {
    DictRef::from_value(value)
        .and_then(|object| object.get_str(name))
        .ok_or_else(|| malformed("GeoJSON", format_args!("an object has no {name:?}")))
}
