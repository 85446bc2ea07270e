//! What is found in scripts without running them.

use strongroom_star::check::check;

/// Finds exactly these: `line:column rule`, and a part of the message.
#[track_caller]
fn finds(script: &str, wanted: &[(&str, &str)]) {
    let report = check("t.star", script);
    let found: Vec<String> = report
        .findings
        .iter()
        .map(|one| format!("{}:{} {:?}", one.line, one.column, one.rule))
        .collect();
    let places: Vec<&str> = wanted.iter().map(|(place, _)| *place).collect();
    assert_eq!(found, places, "{:#?}", report.findings);
    for (finding, (_, part)) in report.findings.iter().zip(wanted) {
        assert!(finding.message.contains(part), "{finding:?}");
        assert!(!finding.advice.is_empty());
    }
}

#[test]
fn a_sound_script_has_no_findings() {
    finds(
        r#"
"""A transform that fetches, and joins."""
load("http.star", "http")
load("assert.star", "assert")

def url(ctx):
	return "https://example.org/" + ctx.args["name"]

def expose(ds, ctx):
    return len(ds.get_body())

def download(ctx):
    """Gets the table."""
    res = http.get(url(ctx), headers = {"token": ctx.get_secret("t")})
    return res.json()

def transform(ds, ctx):
    rows = [r for r in ds.get_body()]
    rows.append(ctx.download)
    assert.true(rows != [])
    ds.set_body(rows)
"#,
        &[],
    );
}

#[test]
fn the_stages_of_a_file_are_told() {
    let stages = |script: &str| check("t.star", script).stages;
    let three =
        "def transform(ds, ctx): pass\ndef download(ctx): pass\ndef expose(ds, ctx): pass\n";
    assert_eq!(stages(three), ["expose", "download", "transform"]);
    assert_eq!(stages("x = 1\n"), ["transform"]);
    let steps = "# category: download\nx = 1\n---\ny = x\n";
    assert_eq!(stages(steps), ["download", "transform"]);
}

#[test]
fn what_does_not_parse_is_one_finding() {
    finds("x = 1\ndef f(:\n", &[("2:7 Syntax", "")]);
    finds("x = 1\nassert x\n", &[("2:1 Syntax", "no statement")]);
}

#[test]
fn special_functions_with_the_wrong_parameters_are_found() {
    finds(
        "def download(): pass\ndef expose(ds): pass\ndef transform(ds, ctx, more): pass\n",
        &[
            ("1:5 Signature", "called with 1 arguments and takes 0"),
            ("2:5 Signature", "called with 2 arguments and takes 1"),
            ("3:5 Signature", "called with 2 arguments and takes 3"),
        ],
    );
    finds(
        "def transform(ds, ctx, more = 1): pass\ndef download(*args): pass\n",
        &[],
    );
}

#[test]
fn functions_and_results_that_nobody_uses_are_found() {
    finds(
        "def used(): return 1\ndef lost(): return 2\ndef transform(ds, ctx):\n  sorted([used()])\n  'a'.upper()\n  ds\n  return 1\n",
        &[
            ("2:5 UnusedFunction", "`lost` is never used"),
            ("4:3 UnusedResult", ""),
            ("5:3 UnusedResult", ""),
            ("6:3 UnusedResult", ""),
        ],
    );
    finds("def f(): pass\n---\nf()\nfor x in [1]:\n  print(x)\n", &[]);
}

#[test]
fn http_outside_of_download_is_found_wherever_it_hides() {
    let load = "load(\"http.star\", h=\"http\")\n";
    finds(
        &format!(
            "{load}x = h.get('http://a')\ndef fetch(): return h.get('http://b')\ndef more(): return fetch()\ndef download(ctx): return fetch()\ndef transform(ds, ctx): return more()\n"
        ),
        &[
            ("2:5 Network", "`h` is used outside of download"),
            ("3:21 Network", "`h` is used outside of download"),
        ],
    );
    finds(
        &format!(
            "{load}# name: get\nx = h.get('http://a')\n---\n# category: download\ny = h.get('http://b')\n"
        ),
        &[("3:5 Network", "outside of download")],
    );
}

#[test]
fn data_where_the_network_is_is_found() {
    finds(
        "x = load_dataset('a')\ndef read(): return load_dataset('b')\ndef download(ctx): return read()\ndef transform(ds, ctx): return read()\n",
        &[
            ("1:5 Data", "at the top level"),
            ("2:20 Data", "has the network and no data"),
        ],
    );
}

#[test]
fn secrets_that_flow_into_a_url_are_found() {
    let load = "load(\"http.star\", \"http\")\n";
    let leaks = |body: &str, place: &str| {
        let script = format!("{load}def download(ctx):\n{body}");
        finds(
            &script,
            &[(&format!("{place} Leak"), "a secret reaches a URL")],
        );
    };
    leaks(
        "  return http.get('http://a?k=' + ctx.get_secret('k'))\n",
        "3:19",
    );
    leaks(
        "  k = ctx.get_secret('k')\n  return http.get(url = 'http://a?k=%s' % k)\n",
        "4:19",
    );
    leaks(
        "  q = {}\n  q['k'] = ctx.get_secret('k')\n  return http.post('http://a', params = q)\n",
        "5:32",
    );
    leaks(
        "  l = []\n  l.append(ctx.get_secret('k'))\n  return [http.get(u) for u in l]\n",
        "5:20",
    );
    leaks(
        "  for i in [1]:\n    if i: http.get(b)\n    b = a\n    a = ctx.get_secret('k')\n",
        "4:20",
    );
    leaks(
        "  f = lambda: ctx.get_secret('k')\n  return http.get(f())\n",
        "4:19",
    );
    leaks(
        "  return http.get(f'http://a/{ctx.get_secret(\"k\")}')\n",
        "3:19",
    );
    finds(
        &format!(
            "{load}def ask(path, host): return http.get(host + path)\ndef key(ctx): return ctx.get_secret('k')\ndef download(ctx): return ask(host = 'http://a', path = key(ctx))\n"
        ),
        &[("4:27 Leak", "a secret reaches a URL")],
    );
    finds(
        &format!(
            "# category: download\n{load}k = secrets.get('k')\n---\n# category: download\nprint(http.get('http://a?' + k))\n"
        ),
        &[("6:16 Leak", "a secret reaches a URL")],
    );
    finds(
        &format!(
            "{load}def download(ctx):\n  return http.get('http://a', headers = {{'k': ctx.get_secret('k')}}, auth = ('u', ctx.get_secret('p')))\n"
        ),
        &[],
    );
}

#[test]
fn exposed_values_that_flow_into_a_url_are_found() {
    finds(
        "load(\"http.star\", \"http\")\ndef expose(ds, ctx): return []\ndef download(ctx):\n  return [http.get(url).json() for url in ctx.expose]\n",
        &[("4:20 Leak", "an exposed value reaches a URL")],
    );
}

#[test]
fn functions_inside_of_each_other_are_looked_at_in_no_time() {
    let deep: String = (0..55)
        .map(|n| format!("{}def f{n}(a, b):\n", " ".repeat(n)))
        .collect();
    let body = format!("{0}for x in a: b = x\n{0}f54(b, a)\n", " ".repeat(55));
    let report = check("t.star", &format!("{deep}{body}"));
    assert!(!report.findings.is_empty());
}
