//! Versions that transforms make: what a run leaves, and what becomes of it.
//!
//! A run that saves reads the version before and leaves files in `/out`, and
//! beside them, if it has more to say, `dataset.json`. What the version is that
//! follows is found here from the two. Nothing of it is believed: the body is
//! held to its structure like every other. Absent on purpose: who may save,
//! and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    digest::Digest,
    json,
    run::OutputFile,
    structure::StructureAsked,
    text::shown,
    tree::{Tree, TreeError, TreeFile, TreePath},
    version::{Change, Changes, Meta, Says},
};

/// The file of `/out` that tells what the version says of itself.
pub const TOLD_FILE: &str = "dataset.json";
/// Its longest, in bytes: more than a version can say.
pub const TOLD_LEN_MAX: u64 = 1 << 20;
/// What stands in it for the body of the version before.
const PREVIOUS: &str = "previous";

/// What is to become of what a run makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TransformMode))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A version.
    #[default]
    Save,
    /// It is shown, and nothing is saved.
    Apply,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Apply => "apply",
        }
    }
}

/// A text that names no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no mode `{}`", shown(.0, 40))]
pub struct UnknownMode(String);

impl std::str::FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(raw: &str) -> Result<Self, UnknownMode> {
        let found = [Self::Save, Self::Apply]
            .into_iter()
            .find(|mode| mode.as_str() == raw);
        found.ok_or_else(|| UnknownMode(raw.to_owned()))
    }
}

/// What came of a transform, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = TransformOutcome))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    Saved {
        version: Digest,
    },
    /// What it made says and holds what the version before does, or it made nothing.
    Unchanged,
    /// There is no version, and the one before is as it was.
    NotSaved {
        /// Stable.
        code: String,
        detail: String,
    },
}

/// Why what a run left is no version; the transform is at fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MadeError {
    #[error("{TOLD_FILE}: {0}")]
    Told(String),
    #[error("{TOLD_FILE}: its body `{0}` is not in /out")]
    NoBody(TreePath),
    #[error("{TOLD_FILE}: its body is the previous one, and there is no version before")]
    NoPrevious,
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// What a run told of the version it makes, parsed. Of each part, what is
/// absent stays as the version before has it, and `null` drops it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// A file of `/out`, or `previous`.
    #[serde(default)]
    body: Option<String>,
    #[serde(default, deserialize_with = "part")]
    meta: Option<Option<Meta>>,
    #[serde(default, deserialize_with = "part")]
    structure: Option<Option<StructureAsked>>,
    #[serde(default, deserialize_with = "part")]
    readme: Option<Option<String>>,
}

/// Reads `null` as something that was said.
fn part<'de, T, D>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(from).map(Some)
}

fn change<T: Default + PartialEq>(said: Option<Option<T>>) -> Change<T> {
    match said {
        None => Change::Keep,
        Some(Some(part)) if part != T::default() => Change::Set(part),
        Some(_) => Change::Drop,
    }
}

impl Told {
    /// # Errors
    ///
    /// [`MadeError::Told`] with what is wrong and where.
    pub fn parse(raw: &[u8]) -> Result<Self, MadeError> {
        let told = |why: String| MadeError::Told(shown(&why, 300));
        let value = json::parse(raw).map_err(|error| told(error.to_string()))?;
        if !value.is_object() {
            return Err(told("it is no object".to_owned()));
        }
        serde_json::from_value(value).map_err(|error| told(error.to_string()))
    }
}

/// The version that a transform was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    pub tree: Tree,
    pub says: Says,
}

impl Before {
    fn body(&self) -> Option<TreePath> {
        let asked = self.says.structure.clone().unwrap_or_default();
        asked.reading(&self.tree).ok().map(|(path, _)| path)
    }
}

/// A version to be: its files, and what it says that the one before did not.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub tree: Tree,
    pub changes: Changes,
    /// Whether files, or what rows have to be, are those of the version before.
    pub keeps: bool,
}

/// Which version follows `before`, from what a run left. `None` when it left
/// nothing.
///
/// Where a body is told, it takes the place and the name of the one before, and
/// all other files stay. Where none is, what lies in `/out` is all there is.
///
/// # Errors
///
/// [`MadeError`]; the transform is at fault.
pub fn made(
    before: Option<&Before>,
    files: &[OutputFile],
    told: Option<Told>,
) -> Result<Option<Made>, MadeError> {
    let left = left(files);
    let Some(told) = told else {
        return match left.is_empty() {
            true => Ok(None),
            false => Ok(Some(Made {
                tree: Tree::new(left)?,
                changes: Changes::default(),
                keeps: false,
            })),
        };
    };
    let Laid { tree, body, keeps } = laid(before, left, told.body.as_deref())?;
    let structured = before.is_some_and(|before| before.says.structure.is_some());
    Ok(Some(Made {
        keeps: keeps || (structured && told.structure.is_none()),
        changes: Changes {
            meta: change(told.meta),
            readme: change(told.readme),
            structure: structure(before, &tree, body.as_ref(), told.structure),
            ..Changes::default()
        },
        tree,
    }))
}

type Left = BTreeMap<TreePath, TreeFile>;

/// All files of a version to be.
struct Laid {
    tree: Tree,
    /// Which is the body, if that was told.
    body: Option<TreePath>,
    /// Some are those of the version before.
    keeps: bool,
}

fn left(files: &[OutputFile]) -> Left {
    let ours = files.iter().filter(|file| file.path.as_str() != TOLD_FILE);
    let one = |file: &OutputFile| {
        let (digest, size_bytes) = (file.digest, file.size_bytes);
        (file.path.clone(), TreeFile { digest, size_bytes })
    };
    ours.map(one).collect()
}

fn laid(before: Option<&Before>, mut left: Left, told: Option<&str>) -> Result<Laid, MadeError> {
    let stays = before.iter().flat_map(|before| before.tree.files());
    let mut stays: Left = stays.map(|(path, file)| (path.clone(), *file)).collect();
    let body = match told {
        Some(PREVIOUS) if before.is_none() => return Err(MadeError::NoPrevious),
        Some(PREVIOUS) => None,
        None if left.is_empty() => None,
        None => {
            stays.clear();
            None
        }
        Some(raw) => {
            let path: TreePath = raw
                .parse()
                .map_err(|error: TreeError| MadeError::Told(format!("body: {error}")))?;
            let file = left.remove(&path);
            let file = file.ok_or_else(|| MadeError::NoBody(path.clone()))?;
            let old = before.and_then(Before::body);
            if let Some(old) = &old {
                stays.remove(old);
            }
            let place = old.filter(|old| suffix(old) == suffix(&path));
            let place = place.unwrap_or(path);
            left.insert(place.clone(), file);
            Some(place)
        }
    };
    let keeps = !stays.is_empty();
    stays.extend(left);
    let tree = Tree::new(stays)?;
    Ok(Laid { tree, body, keeps })
}

fn suffix(path: &TreePath) -> Option<String> {
    let (_, suffix) = path.file_name().rsplit_once('.')?;
    Some(suffix.to_ascii_lowercase())
}

/// What is said of the rows. How the body before was written says nothing of
/// another one; what its rows have to be does.
fn structure(
    before: Option<&Before>,
    tree: &Tree,
    body: Option<&TreePath>,
    said: Option<Option<StructureAsked>>,
) -> Change<StructureAsked> {
    let Some(body) = body else {
        return change(said);
    };
    let kept = before.and_then(|before| before.says.structure.clone());
    let asked = match said {
        Some(said) => said.unwrap_or_default(),
        None if before.is_some_and(|before| before.tree == *tree) => return Change::Keep,
        None => {
            let kept = kept.unwrap_or_default();
            StructureAsked {
                columns: kept.columns,
                schema: kept.schema,
                ..StructureAsked::default()
            }
        }
    };
    let asked = StructureAsked {
        body: None,
        ..asked
    };
    let found = asked.reading(tree).ok().map(|(path, _)| path);
    let asked = StructureAsked {
        body: (found.as_ref() != Some(body)).then(|| body.clone()),
        ..asked
    };
    match asked.is_empty() {
        true => Change::Drop,
        false => Change::Set(asked),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::new(files.iter().map(|(path, text)| {
            let file = TreeFile {
                digest: Digest::of(text.as_bytes()),
                size_bytes: text.len() as u64,
            };
            (path.parse().unwrap(), file)
        }))
        .unwrap()
    }

    fn left(files: &[(&str, &str)]) -> Vec<OutputFile> {
        let tree = tree(files);
        let one = |(path, file): (&TreePath, &TreeFile)| OutputFile {
            path: path.clone(),
            digest: file.digest,
            size_bytes: file.size_bytes,
        };
        tree.files().map(one).collect()
    }

    fn before(files: &[(&str, &str)], structure: Value) -> Before {
        let structure: StructureAsked = serde_json::from_value(structure).unwrap();
        Before {
            tree: tree(files),
            says: Says {
                structure: Some(structure).filter(|structure| !structure.is_empty()),
                ..Says::default()
            },
        }
    }

    fn told(value: Value) -> Option<Told> {
        Some(Told::parse(value.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn a_body_takes_the_place_and_the_name_of_the_one_before_and_other_files_stay() {
        let before = before(&[("p.csv", "old"), ("codes.pdf", "x")], json!({}));
        let files = left(&[
            ("body.csv", "new"),
            ("more.txt", "y"),
            ("dataset.json", "{}"),
        ]);
        let made = made(Some(&before), &files, told(json!({"body": "body.csv"})));
        let made = made.unwrap().unwrap();
        let wanted = tree(&[("p.csv", "new"), ("codes.pdf", "x"), ("more.txt", "y")]);
        assert_eq!(made.tree, wanted);
        assert_eq!(made.changes.structure, Change::Drop);
    }

    #[test]
    fn what_is_of_the_version_before_is_known_to_be() {
        let rows = json!({"columns": [{"name": "a", "type": "integer"}]});
        let plain = || before(&[("p.csv", "old")], json!({}));
        let more = || before(&[("p.csv", "old"), ("q.txt", "x")], json!({}));
        let typed = || before(&[("p.csv", "old")], rows.clone());
        let body = json!({"body": "body.csv"});
        let without = json!({"body": "body.csv", "structure": null});
        for (old, said, keeps) in [
            (plain(), None, false),
            (plain(), told(json!({"body": "previous"})), true),
            (plain(), told(body.clone()), false),
            (more(), told(body.clone()), true),
            (typed(), told(body), true),
            (typed(), told(without), false),
        ] {
            let files = left(&[("body.csv", "new")]);
            let shown = format!("{old:?} {said:?}");
            let made = made(Some(&old), &files, said).unwrap().unwrap();
            assert_eq!(made.keeps, keeps, "{shown}");
        }
    }

    #[test]
    fn a_body_of_another_format_has_its_own_name_and_is_named_where_two_could_be_it() {
        let old = before(
            &[("p.csv", "old"), ("q.json", "x")],
            json!({"body": "p.csv"}),
        );
        let files = left(&[("body.ndjson", "new")]);
        let made = made(Some(&old), &files, told(json!({"body": "body.ndjson"})));
        let made = made.unwrap().unwrap();
        assert_eq!(made.tree, tree(&[("body.ndjson", "new"), ("q.json", "x")]));
        assert_eq!(made.changes.structure, Change::Drop, "body. goes first");
    }

    #[test]
    fn what_rows_have_to_be_stays_and_how_they_were_written_does_not() {
        let columns = json!([{"name": "a", "type": "integer"}]);
        let old = before(
            &[("p.csv", "old")],
            json!({"delimiter": ";", "columns": columns}),
        );
        let with = |text: &str, said: Value| {
            let files = left(&[("body.csv", text)]);
            made(Some(&old), &files, told(said))
                .unwrap()
                .unwrap()
                .changes
                .structure
        };
        let Change::Set(kept) = with("new", json!({"body": "body.csv"})) else {
            panic!("columns are a promise");
        };
        assert_eq!((kept.delimiter, kept.columns.unwrap().len()), (None, 1));
        assert_eq!(with("old", json!({"body": "body.csv"})), Change::Keep);
        let dropped = with("new", json!({"body": "body.csv", "structure": null}));
        assert_eq!(dropped, Change::Drop);
    }

    #[test]
    fn without_anything_told_what_lies_in_out_is_all_there_is() {
        let old = before(&[("p.csv", "old"), ("q.txt", "x")], json!({}));
        let files = left(&[("r.csv", "new")]);
        let found = made(Some(&old), &files, None).unwrap().unwrap();
        assert_eq!(found.tree, tree(&[("r.csv", "new")]));
        assert_eq!(made(Some(&old), &[], None), Ok(None));
        let meta = told(json!({"meta": {"title": "T"}}));
        let only_told = made(Some(&old), &[], meta).unwrap().unwrap();
        assert_eq!(only_told.tree, old.tree);
    }

    #[test]
    fn what_is_told_and_does_not_hold_is_named() {
        for (raw, why) in [
            ("{", "dataset.json: not a JSON document"),
            ("[]", "dataset.json: it is no object"),
            (r#"{"bodi": "a.csv"}"#, "dataset.json: unknown field `bodi`"),
            (r#"{"body": "a", "body": "b"}"#, "dataset.json: not a JSON"),
            (r#"{"readme": 5}"#, "dataset.json: invalid type"),
            (
                r#"{"structure": {"columns": "a"}}"#,
                "dataset.json: invalid type",
            ),
        ] {
            let error = Told::parse(raw.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(why), "{raw}: {error}");
        }
        let files = left(&[("body.csv", "new")]);
        for (body, why) in [
            ("other.csv", "is not in /out"),
            ("../x", "body: "),
            ("previous", "no version before"),
        ] {
            let error = made(None, &files, told(json!({ "body": body }))).unwrap_err();
            assert!(error.to_string().contains(why), "{body}: {error}");
        }
    }
}
