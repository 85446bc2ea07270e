//! `html.star`: HTML by selectors, one selection leading to the next.
//!
//! A selection holds nodes of one document, each once, in the order in which
//! they were found.

use std::{collections::HashSet, fmt};

use allocative::Allocative;
use ego_tree::{NodeId, NodeRef};
use scraper::{ElementRef, Html, Node, Selector};
use starlark::{
    any::ProvidesStaticType,
    environment::{GlobalsBuilder, Methods, MethodsBuilder},
    eval::Evaluator,
    starlark_module, starlark_simple_value,
    values::{
        Heap, NoSerialize, StarlarkValue, Value, none::NoneOr, starlark_value, tuple::AllocTuple,
    },
};

use super::markup::{Document, name_of, selector, text_of};

pub fn exports(builder: &mut GlobalsBuilder) {
    functions(builder);
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    /// Parses a document; the selection is its root.
    fn html(markup: &str) -> starlark::Result<Selection> {
        let document = Document::parse(markup)?;
        let nodes = vec![document.root()];
        Ok(Selection { document, nodes })
    }
}

/// Nodes of one document.
#[derive(ProvidesStaticType, NoSerialize, Allocative)]
pub struct Selection {
    #[allocative(skip)]
    document: Document,
    #[allocative(skip)]
    nodes: Vec<NodeId>,
}

starlark_simple_value!(Selection);

impl fmt::Debug for Selection {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "<selection of {} nodes>", self.nodes.len())
    }
}

impl Selection {
    fn of(&self, nodes: Vec<NodeId>) -> Self {
        let document = self.document.clone();
        Self { document, nodes }
    }

    /// The nodes that `step` leads to from each node, each once.
    fn step<'h, I>(&self, html: &'h Html, step: impl Fn(NodeRef<'h, Node>) -> I) -> Vec<NodeId>
    where
        I: IntoIterator<Item = NodeRef<'h, Node>>,
    {
        let mut seen = HashSet::new();
        let from = self.nodes.iter().filter_map(|id| html.tree.get(*id));
        from.flat_map(step)
            .map(|node| node.id())
            .filter(|id| seen.insert(*id))
            .collect()
    }

    /// The elements that `step` leads to and that fit the selector, if any.
    fn elements<'h, I>(
        &self,
        html: &'h Html,
        fitting: Option<&Selector>,
        step: impl Fn(NodeRef<'h, Node>) -> I,
    ) -> Vec<NodeId>
    where
        I: IntoIterator<Item = NodeRef<'h, Node>>,
    {
        self.step(html, |node| {
            step(node)
                .into_iter()
                .filter(|node| fits(*node, fitting))
                .collect::<Vec<_>>()
        })
    }

    fn read(&self, look: impl FnOnce(&Html) -> Vec<NodeId>) -> Self {
        self.of(self.document.read(look))
    }

    fn at(&self, index: i32) -> Option<NodeId> {
        let index = match usize::try_from(index) {
            Ok(from_start) => from_start,
            Err(_) => self
                .nodes
                .len()
                .checked_sub(index.unsigned_abs() as usize)?,
        };
        self.nodes.get(index).copied()
    }

    fn names(&self) -> Vec<String> {
        self.document.read(|html| {
            let nodes = self.nodes.iter().filter_map(|id| html.tree.get(*id));
            nodes.map(name_of).collect()
        })
    }
}

fn fits(node: NodeRef<'_, Node>, selector: Option<&Selector>) -> bool {
    ElementRef::wrap(node)
        .is_some_and(|element| selector.is_none_or(|selector| selector.matches(&element)))
}

starlark::methods_static!(SELECTION_METHODS = all_methods);

fn all_methods(builder: &mut MethodsBuilder) {
    movements(builder);
    contents(builder);
}

#[starlark_value(type = "selection")]
impl<'v> StarlarkValue<'v> for Selection {
    fn get_methods() -> Option<&'static Methods> {
        Some(SELECTION_METHODS.methods())
    }

    fn length(&self) -> starlark::Result<i32> {
        Ok(i32::try_from(self.nodes.len()).unwrap_or(i32::MAX))
    }

    fn iterate_collect(&self, heap: Heap<'v>) -> starlark::Result<Vec<Value<'v>>> {
        let each = self.nodes.iter();
        Ok(each.map(|id| heap.alloc(self.of(vec![*id]))).collect())
    }
}

#[starlark_module]
fn movements(builder: &mut MethodsBuilder) {
    fn children(this: &Selection) -> starlark::Result<Selection> {
        Ok(this.read(|html| this.elements(html, None, |node| node.children())))
    }

    fn children_filtered(
        this: &Selection,
        #[starlark(require = pos)] selector: &str,
    ) -> starlark::Result<Selection> {
        let fitting = super::markup::selector(selector)?;
        Ok(this.read(|html| this.elements(html, Some(&fitting), |node| node.children())))
    }

    /// All children, texts and comments among them.
    fn contents(this: &Selection) -> starlark::Result<Selection> {
        Ok(this.read(|html| this.step(html, |node| node.children())))
    }

    fn find(
        this: &Selection,
        #[starlark(require = pos)] selector: &str,
    ) -> starlark::Result<Selection> {
        let fitting = super::markup::selector(selector)?;
        Ok(
            this.read(|html| {
                this.elements(html, Some(&fitting), |node| node.descendants().skip(1))
            }),
        )
    }

    fn filter(
        this: &Selection,
        #[starlark(require = pos)] selector: &str,
    ) -> starlark::Result<Selection> {
        let fitting = super::markup::selector(selector)?;
        Ok(this.read(|html| this.elements(html, Some(&fitting), |node| [node])))
    }

    /// Those that have a descendant that fits.
    fn has(
        this: &Selection,
        #[starlark(require = pos)] selector: &str,
    ) -> starlark::Result<Selection> {
        let fitting = super::markup::selector(selector)?;
        Ok(this.read(|html| {
            this.step(html, |node| {
                let mut inner = node.descendants().skip(1);
                inner
                    .any(|inner| fits(inner, Some(&fitting)))
                    .then_some(node)
            })
        }))
    }

    fn parent(this: &Selection) -> starlark::Result<Selection> {
        Ok(this.read(|html| this.elements(html, None, |node| node.parent())))
    }

    /// Ancestors, nearest first, up to the first that fits and without it.
    fn parents_until(
        this: &Selection,
        #[starlark(require = pos)] selector: &str,
    ) -> starlark::Result<Selection> {
        let stop = super::markup::selector(selector)?;
        Ok(this.read(|html| {
            this.elements(html, None, |node| {
                node.ancestors()
                    .take_while(|above| !fits(*above, Some(&stop)))
                    .collect::<Vec<_>>()
            })
        }))
    }

    fn siblings(this: &Selection) -> starlark::Result<Selection> {
        Ok(this.read(|html| {
            this.elements(html, None, |node| {
                let all = node.parent().into_iter().flat_map(|above| above.children());
                all.filter(move |sibling| sibling.id() != node.id())
            })
        }))
    }

    fn first(this: &Selection) -> starlark::Result<Selection> {
        Ok(this.of(this.at(0).into_iter().collect()))
    }

    fn last(this: &Selection) -> starlark::Result<Selection> {
        Ok(this.of(this.at(-1).into_iter().collect()))
    }

    /// The one at a place; a negative place counts from the end.
    fn eq(this: &Selection, #[starlark(require = pos)] i: i32) -> starlark::Result<Selection> {
        Ok(this.of(this.at(i).into_iter().collect()))
    }
}

#[starlark_module]
fn contents(builder: &mut MethodsBuilder) {
    /// An attribute of the first element.
    fn attr(
        this: &Selection,
        #[starlark(require = pos)] name: &str,
    ) -> starlark::Result<NoneOr<String>> {
        let found = this.document.read(|html| {
            let node = html.tree.get(*this.nodes.first()?)?;
            Some(ElementRef::wrap(node)?.attr(name)?.to_owned())
        });
        Ok(found.map_or(NoneOr::None, NoneOr::Other))
    }

    /// The texts of all nodes, joined.
    fn text(this: &Selection) -> starlark::Result<String> {
        Ok(this.document.read(|html| {
            let nodes = this.nodes.iter().filter_map(|id| html.tree.get(*id));
            nodes.map(text_of).collect()
        }))
    }

    /// The name of the node at a place, or a tuple of all names.
    fn get<'v>(
        this: &Selection,
        #[starlark(require = pos)] i: Option<i32>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let heap = eval.heap();
        let names = this.names();
        let Some(index) = i else {
            return Ok(heap.alloc(AllocTuple(names)));
        };
        let name = usize::try_from(index).ok().and_then(|at| names.get(at));
        Ok(name.map_or(Value::new_none(), |name| heap.alloc(name.as_str())))
    }

    fn len(this: &Selection) -> starlark::Result<i32> {
        Ok(i32::try_from(this.nodes.len()).unwrap_or(i32::MAX))
    }

    /// Whether any of the elements fits.
    fn is_selector(
        this: &Selection,
        #[starlark(require = pos)] selector: &str,
    ) -> starlark::Result<bool> {
        is_selector_fitting(this, selector)
    }

    /// The same under the name that its documents gave it.
    #[allow(non_snake_case)]
    fn isSelector(
        this: &Selection,
        #[starlark(require = pos)] selector: &str,
    ) -> starlark::Result<bool> {
        is_selector_fitting(this, selector)
    }
}

fn is_selector_fitting(selection: &Selection, text: &str) -> starlark::Result<bool> {
    let fitting = selector(text)?;
    Ok(selection.document.read(|html| {
        let mut nodes = selection.nodes.iter().filter_map(|id| html.tree.get(*id));
        nodes.any(|node| fits(node, Some(&fitting)))
    }))
}
