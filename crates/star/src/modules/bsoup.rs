//! `bsoup.star`: HTML node by node, in the manner of Beautiful Soup.

use std::fmt;

use allocative::Allocative;
use ego_tree::{NodeId, NodeRef};
use scraper::{Html, Node};
use starlark::{
    any::ProvidesStaticType,
    environment::{GlobalsBuilder, Methods, MethodsBuilder},
    starlark_module, starlark_simple_value,
    values::{
        NoSerialize, StarlarkValue, Value, ValueLike, dict::DictRef, list::UnpackList,
        none::NoneOr, starlark_value,
    },
};

use super::{
    markup::{Document, markup_of, text_of},
    refusal::argument,
};

pub fn exports(builder: &mut GlobalsBuilder) {
    builder.namespace("bsoup", functions);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Parses a document; the node is its root.
    #[allow(non_snake_case)]
    fn parseHtml(html: &str) -> starlark::Result<SoupNode> {
        let document = Document::parse(html)?;
        let node = document.root();
        Ok(SoupNode { document, node })
    }
}

/// One node of a document.
#[derive(Clone, ProvidesStaticType, NoSerialize, Allocative)]
pub struct SoupNode {
    #[allocative(skip)]
    document: Document,
    #[allocative(skip)]
    node: NodeId,
}

starlark_simple_value!(SoupNode);

impl fmt::Debug for SoupNode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

impl fmt::Display for SoupNode {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.read(markup_of);
        to.write_str(&shown.unwrap_or_default())
    }
}

impl SoupNode {
    fn read<R>(&self, look: impl FnOnce(NodeRef<'_, Node>, &Html) -> R) -> Option<R> {
        self.document
            .read(|html| html.tree.get(self.node).map(|node| look(node, html)))
    }

    fn of(&self, node: NodeId) -> Self {
        let document = self.document.clone();
        Self { document, node }
    }

    /// The node that a step leads to, or `None`.
    fn step(
        &self,
        step: impl FnOnce(NodeRef<'_, Node>) -> Option<NodeRef<'_, Node>>,
    ) -> NoneOr<Self> {
        match self.read(|node, _| step(node).map(|found| found.id())) {
            Some(Some(id)) => NoneOr::Other(self.of(id)),
            _ => NoneOr::None,
        }
    }

    fn search(&self, wanted: &Wanted, recursive: bool, limit: usize) -> Vec<Self> {
        let found = self.read(|node, _| -> Vec<NodeId> {
            let fitting = |node: &NodeRef<'_, Node>| wanted.fits(*node);
            if recursive {
                let all = node.descendants().skip(1);
                all.filter(fitting)
                    .take(limit)
                    .map(|node| node.id())
                    .collect()
            } else {
                let all = node.children();
                all.filter(fitting)
                    .take(limit)
                    .map(|node| node.id())
                    .collect()
            }
        });
        let ids = found.unwrap_or_default().into_iter();
        ids.map(|id| self.of(id)).collect()
    }
}

/// What an element has to be to be found.
struct Wanted {
    names: Vec<String>,
    attributes: Vec<(String, String)>,
    text: Option<String>,
}

impl Wanted {
    fn parse(
        name: Option<Value<'_>>,
        attributes: [Option<DictRef<'_>>; 2],
        text: Option<&str>,
    ) -> starlark::Result<Self> {
        let mut wanted = Self {
            names: names(name)?,
            attributes: Vec::new(),
            text: text.map(str::to_owned),
        };
        for dict in attributes.iter().flatten() {
            for (key, value) in dict.iter() {
                let (Some(key), Some(value)) = (key.unpack_str(), value.unpack_str()) else {
                    return Err(argument("attributes are strings by their names"));
                };
                let name = if key == "class_" { "class" } else { key };
                wanted.attributes.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(wanted)
    }

    fn fits(&self, node: NodeRef<'_, Node>) -> bool {
        let Some(element) = node.value().as_element() else {
            return false;
        };
        let named = self.names.is_empty() || self.names.iter().any(|name| name == element.name());
        named
            && self.attributes.iter().all(|(name, wanted)| {
                element.attr(name).is_some_and(|value| {
                    value == wanted
                        || name == "class"
                            && value.split_ascii_whitespace().any(|one| one == wanted)
                })
            })
            && self.text.as_ref().is_none_or(|text| text_of(node) == *text)
    }
}

/// Nothing, one name or several.
fn names(name: Option<Value<'_>>) -> starlark::Result<Vec<String>> {
    use starlark::values::UnpackValue;
    let Some(name) = name.filter(|name| !name.is_none()) else {
        return Ok(Vec::new());
    };
    if let Some(one) = name.unpack_str() {
        let lower = one.to_ascii_lowercase();
        return Ok(if one.is_empty() {
            Vec::new()
        } else {
            vec![lower]
        });
    }
    match UnpackList::<String>::unpack_value(name) {
        Ok(Some(several)) => Ok(several.items),
        _ => Err(argument("name has to be a string or a list of strings")),
    }
}

starlark::methods_static!(SOUP_METHODS = methods);

#[starlark_value(type = "SoupNode")]
impl<'v> StarlarkValue<'v> for SoupNode {
    fn get_methods() -> Option<&'static Methods> {
        Some(SOUP_METHODS.methods())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other
            .downcast_ref::<Self>()
            .is_some_and(|other| self.document.is(&other.document) && self.node == other.node))
    }
}

#[starlark_module]
fn methods(builder: &mut MethodsBuilder) {
    /// The first element that fits, or `None`.
    fn find<'v>(
        this: &SoupNode,
        name: Option<Value<'v>>,
        attrs: Option<DictRef<'v>>,
        #[starlark(default = true)] recursive: bool,
        string: Option<&'v str>,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
    ) -> starlark::Result<NoneOr<SoupNode>> {
        let wanted = Wanted::parse(name, [attrs, Some(kwargs)], string)?;
        let found = this.search(&wanted, recursive, 1).pop();
        Ok(found.map_or(NoneOr::None, NoneOr::Other))
    }

    /// All elements that fit, at most `limit` of them.
    fn find_all<'v>(
        this: &SoupNode,
        name: Option<Value<'v>>,
        attrs: Option<DictRef<'v>>,
        #[starlark(default = true)] recursive: bool,
        string: Option<&'v str>,
        #[starlark(default = 0)] limit: i32,
        #[starlark(kwargs)] kwargs: DictRef<'v>,
    ) -> starlark::Result<Vec<SoupNode>> {
        let wanted = Wanted::parse(name, [attrs, Some(kwargs)], string)?;
        let limit = usize::try_from(limit).ok().filter(|limit| *limit != 0);
        Ok(this.search(&wanted, recursive, limit.unwrap_or(usize::MAX)))
    }

    fn attrs(this: &SoupNode) -> starlark::Result<starlark::collections::SmallMap<String, String>> {
        let found = this.read(|node, _| {
            let element = node.value().as_element()?;
            let pairs = element.attrs();
            Some(
                pairs
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            )
        });
        Ok(found.flatten().unwrap_or_default())
    }

    /// All children, texts among them.
    fn contents(this: &SoupNode) -> starlark::Result<Vec<SoupNode>> {
        let ids = this.read(|node, _| node.children().map(|child| child.id()).collect::<Vec<_>>());
        Ok(ids
            .unwrap_or_default()
            .into_iter()
            .map(|id| this.of(id))
            .collect())
    }

    /// The first child element of a name.
    fn child(
        this: &SoupNode,
        #[starlark(require = pos)] name: &str,
    ) -> starlark::Result<NoneOr<SoupNode>> {
        Ok(this.step(|node| {
            node.children().find(|child| {
                let element = child.value().as_element();
                element.is_some_and(|element| element.name().eq_ignore_ascii_case(name))
            })
        }))
    }

    fn parent(this: &SoupNode) -> starlark::Result<NoneOr<SoupNode>> {
        Ok(this.step(|node| node.parent()))
    }

    fn next_sibling(this: &SoupNode) -> starlark::Result<NoneOr<SoupNode>> {
        Ok(this.step(|node| node.next_sibling()))
    }

    fn prev_sibling(this: &SoupNode) -> starlark::Result<NoneOr<SoupNode>> {
        Ok(this.step(|node| node.prev_sibling()))
    }

    fn get_text(this: &SoupNode) -> starlark::Result<String> {
        Ok(this.read(|node, _| text_of(node)).unwrap_or_default())
    }
}
