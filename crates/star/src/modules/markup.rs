//! A parsed HTML document, shared by all values that point into it.
//!
//! Nothing here recurses over the tree, so its depth costs no stack.

use std::sync::{Arc, Mutex, PoisonError};

use ego_tree::{NodeId, NodeRef};
use scraper::{ElementRef, Html, Node, Selector};

use super::{
    bounds::{HTML_BYTES_MAX, SELECTOR_BYTES_MAX},
    refusal::{malformed, too_many_bytes},
};

/// A document. Copies are the same document.
#[derive(Clone)]
pub struct Document(Arc<Mutex<Html>>);

impl Document {
    /// Parses as browsers do: any text is some document.
    pub fn parse(markup: &str) -> starlark::Result<Self> {
        if HTML_BYTES_MAX < markup.len() {
            return Err(too_many_bytes("the HTML", HTML_BYTES_MAX));
        }
        Ok(Self(Arc::new(Mutex::new(Html::parse_document(markup)))))
    }

    /// Looks into the document.
    pub fn read<R>(&self, look: impl FnOnce(&Html) -> R) -> R {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn root(&self) -> NodeId {
        self.read(|html| html.tree.root().id())
    }

    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A selector such as `div.note > a[href]`.
pub fn selector(text: &str) -> starlark::Result<Selector> {
    if SELECTOR_BYTES_MAX < text.len() {
        return Err(too_many_bytes("the selector", SELECTOR_BYTES_MAX));
    }
    Selector::parse(text).map_err(|error| malformed("selector", error))
}

/// All text beneath a node, its own included.
pub fn text_of(node: NodeRef<'_, Node>) -> String {
    node.descendants()
        .filter_map(|inner| inner.value().as_text())
        .map(|text| &**text)
        .collect()
}

/// A node as it would be written.
pub fn markup_of(node: NodeRef<'_, Node>, html: &Html) -> String {
    match node.value() {
        Node::Element(_) => ElementRef::wrap(node).map_or_else(String::new, |at| at.html()),
        Node::Text(text) => text.to_string(),
        Node::Comment(comment) => format!("<!--{}-->", &**comment),
        _ => html.html(),
    }
}

/// The tag of an element, the text of a text.
pub fn name_of(node: NodeRef<'_, Node>) -> String {
    match node.value() {
        Node::Element(element) => element.name().to_owned(),
        Node::Text(text) => text.to_string(),
        Node::Comment(comment) => comment.to_string(),
        _ => String::new(),
    }
}
