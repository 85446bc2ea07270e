//! What a runtime may say of itself, and what is refused.

#![allow(clippy::unwrap_used)]

use strongroom_core::{
    digest::Digest,
    runtime::{Definition, RuntimeName, Start},
    tree::{Tree, TreeFile},
};

const WHOLE: &str = "command = [\"/usr/bin/awk\", \"-f\", \"/function/{entry}\"]\n";
const FILES: &str = "[function]\nsuffix = \".awk\"\nmain = \"main.awk\"\n";

#[track_caller]
fn refuses(text: &str, why: &str) {
    let error = Definition::parse(text).unwrap_err();
    let mut whole = error.to_string();
    if let Some(source) = std::error::Error::source(&error) {
        whole = format!("{whole}: {source}");
    }
    assert!(whole.contains(why), "{whole}");
}

fn tree(paths: &[(&str, u64)]) -> Tree {
    let digest = Digest::of(b"");
    let file = |(path, size_bytes): &(&str, u64)| {
        let size_bytes = *size_bytes;
        (path.parse().unwrap(), TreeFile { digest, size_bytes })
    };
    Tree::new(paths.iter().map(file)).unwrap()
}

#[test]
fn a_runtime_adds_to_a_base() {
    let text = "base = \"python3\"\npackages = \"packages\"\npreload = [\"pandas\", \"a.b_1\"]\n\
        [environment]\nMPLBACKEND = \"Agg\"\n";
    let found = Definition::parse(text).unwrap();
    assert_eq!(found.start, Start::Base(RuntimeName::python3()));
    assert_eq!(found.preload, ["pandas", "a.b_1"]);
    assert_eq!(found.environment["MPLBACKEND"], "Agg");
    found.fits(&tree(&[("packages/x.py", 1)])).unwrap();
    let missing = found.fits(&tree(&[("packages.py", 1)])).unwrap_err();
    assert!(missing.to_string().contains("no file below `packages`"));
}

#[test]
fn a_runtime_without_a_base_says_whole_how_it_starts() {
    let Start::Own(way) = Definition::parse(&format!("{WHOLE}{FILES}")).unwrap().start else {
        panic!("it has no base");
    };
    assert_eq!(way.program(), "/usr/bin/awk");
    let command = way.command("/usr/bin/mawk", "", &"a/{entry}".parse().unwrap());
    assert_eq!(command, ["/usr/bin/mawk", "-f", "/function/a/{entry}"]);
    refuses(WHOLE, "either `base` or all of");
    refuses(FILES, "either `base` or all of");
    refuses("", "either `base` or all of");
    refuses(&format!("base = \"sh\"\n{WHOLE}{FILES}"), "either `base`");
    refuses("base = \"sh\"\nfolders = [\"usr\"]", "either `base`");
}

#[test]
fn a_main_program_is_put_in_whole_and_nothing_in_it_is_a_placeholder() {
    let text = format!(
        "main_program = \"m.py\"\ncommand = [\"/bin/x\", \"{{main_program}}\", \"{{entry}}\"]\n{FILES}"
    );
    let found = Definition::parse(&text).unwrap();
    found.fits(&tree(&[("m.py", 64 * 1024)])).unwrap();
    let long = found.fits(&tree(&[("m.py", 64 * 1024 + 1)])).unwrap_err();
    assert!(long.to_string().contains("longer than"));
    assert!(found.fits(&tree(&[("n.py", 1)])).is_err());
    let Start::Own(way) = found.start else {
        panic!("it has no base");
    };
    let command = way.command("/bin/x", "print('{entry}')", &"e".parse().unwrap());
    assert_eq!(command, ["/bin/x", "print('{entry}')", "e"]);
}

#[test]
fn a_garbled_definition_is_refused_with_its_place() {
    refuses(
        "base = \"python3\"\npreloads = []",
        "line 2: unknown field `preloads`",
    );
    refuses("base = 3", "line 1");
    refuses("= = =", "line 1");
    refuses("base = \"Python\"", "base: a name");
    refuses(&"#".repeat(64 * 1024 + 1), "longer than 65536 bytes");
    refuses(
        &format!("base = \"sh\"\ndescription = \"{}\"", "d".repeat(1001)),
        "the description",
    );
    let nested = format!("base{} = 1", ".a".repeat(20_000));
    refuses(&nested, "line 1");
}

#[test]
fn a_command_that_could_not_run_an_entry_is_refused() {
    let command = |words: &str| format!("command = [{words}]\n{FILES}");
    refuses(&command(""), "does not begin with the absolute path");
    refuses(&command("\"awk\", \"{entry}\""), "does not begin with");
    refuses(&command("\"/{entry}\""), "does not begin with");
    refuses(&command("\"/usr/bin/awk\""), "never says {entry}");
    refuses(
        &command("\"/x\", \"{entry}\", \"{main_program}\""),
        "just once",
    );
    refuses(&command("\"/x\", \"{entries}\""), "braces");
    refuses(
        &command("\"/x\", \"{entry}\", \"-c{main_program}\""),
        "braces",
    );
    refuses(&command("\"/x\", \"{entry}\\u0000\""), "zero byte");
    let many = format!("\"/x\", {}", "\"{entry}\", ".repeat(32));
    refuses(&command(&many), "more than 32 words");
}

#[test]
fn a_runtime_shows_no_folder_of_the_host_but_those_of_programs() {
    let with = |folder: &str| format!("folders = [\"usr\", \"{folder}\"]\n{WHOLE}{FILES}");
    for folder in ["home", "/usr", "usr/../root", "etc", "", "."] {
        refuses(&with(folder), "is no folder that a runtime may show");
    }
    let Start::Own(way) = Definition::parse(&with("usr")).unwrap().start else {
        panic!("it has no base");
    };
    assert_eq!(way.folders, ["usr"]);
}

#[test]
fn a_runtime_sets_no_variable_of_the_stations() {
    let with = |line: &str| format!("base = \"python3\"\n[environment]\n{line}\n");
    for name in ["PATH", "HOME", "TZ", "LANG", "STRONGROOM_RUN_ID"] {
        refuses(&with(&format!("{name} = \"x\"")), "is the station's to set");
    }
    refuses(&with("\"A=B\" = \"x\""), "is not made of");
    refuses(&with("\"\" = \"x\""), "is not made of");
    refuses(&with("A = \"\\u0000\""), "zero byte");
    let many: String = (0..65)
        .map(|number| format!("A{number} = \"x\"\n"))
        .collect();
    refuses(&with(&many), "more than 64 variables");
}

#[test]
fn what_is_preloaded_is_the_name_of_a_module() {
    let with = |name: &str| format!("base = \"python3\"\npreload = [\"{name}\"]");
    for name in ["", "a b", "os;x", "../x", "a.", ".a", "1a", "a-b"] {
        refuses(&with(name), "is not the name of a module");
    }
    refuses(
        &format!("preload = [\"a\"]\n{WHOLE}{FILES}"),
        "need a `base`",
    );
    refuses(
        &format!("packages = \"p\"\n{WHOLE}{FILES}"),
        "need a `base`",
    );
    refuses("base = \"python3\"\npackages = \"../p\"", "packages: path");
}
