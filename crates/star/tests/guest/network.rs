//! A download stage and its gateway, which a thread plays here.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::json;

use crate::trial::Trial;

/// Answers as many requests as there are answers; gives back their first
/// lines. A request that never comes is an answer that nobody asked for.
fn gateway(answers: &'static [&'static str]) -> (String, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let thread = thread::spawn(move || {
        let asked = answers.iter().map(|answer| {
            let (stream, _) = listener.accept().expect("a request");
            exchange(stream, answer)
        });
        asked.collect()
    });
    (address, thread)
}

fn exchange(stream: TcpStream, answer: &str) -> String {
    let mut from = BufReader::new(stream.try_clone().expect("a copy"));
    let (mut first, mut length) = (String::new(), 0);
    from.read_line(&mut first).expect("a line");
    loop {
        let mut line = String::new();
        from.read_line(&mut line).expect("a line");
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut from, &mut body).expect("the body");
    let mut stream = stream;
    // A guest that wants no more of an answer hangs up.
    let _ = stream.write_all(answer.replace('\n', "\r\n").replace("@", "\n").as_bytes());
    let body = String::from_utf8(body).expect("text");
    format!("{} {body}", first.trim()).trim().to_owned()
}

const LOAD: &str = "load(\"http.star\", \"http\")\n";

fn download(body: &str, proxy: &str) -> Trial {
    let script = format!("{LOAD}def download(ctx):\n  {body}\n");
    Trial::of(&script)
        .stage("download")
        .variable("HTTP_PROXY", proxy)
}

#[test]
fn a_download_asks_the_gateway_for_whole_urls_and_follows_redirects() {
    let (proxy, asked) = gateway(&[
        "HTTP/1.1 302 Found\nLocation: ../b?x=1\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\n[1,2,\n2\n3]\n0\n\n",
        "HTTP/1.1 201 Created\n\nto the end",
    ]);
    let body = "a = http.get('https://example.org/d/a').json()\n  \
                return [a, http.post('http://example.org/c', body = 'text').body()]";
    assert_eq!(
        download(body, &proxy).value(),
        json!([[1, 2, 3], "to the end"])
    );
    assert_eq!(
        asked.join().expect("it ends"),
        [
            "GET https://example.org/d/a HTTP/1.1",
            "GET https://example.org/b?x=1 HTTP/1.1",
            "POST http://example.org/c HTTP/1.1 text",
        ]
    );
}

#[test]
fn what_the_gateway_refuses_and_what_breaks_off_is_said() {
    let fails = |answer: &'static [&'static str], part: &str| {
        let (proxy, asked) = gateway(answer);
        let ended = download("return http.get('http://a.example/').body()", &proxy).run();
        ended.failed(part);
        asked.join().expect("it ends");
    };
    fails(
        &[
            "HTTP/1.1 403 Forbidden\nStrongroom-Refused: host\nContent-Length: 22\n\nthe plan does not allow",
        ],
        "the gateway refused http://a.example/: the plan does not allo (host)",
    );
    fails(
        &["HTTP/1.1 502 Bad Gateway\nStrongroom-Failed: tls\nContent-Length: 0\n\n"],
        "could not fetch http://a.example/: tls",
    );
    fails(
        &["HTTP/1.1 200 OK\nContent-Length: 100\n\nshort"],
        "the answer broke off",
    );
    fails(&["no HTTP at all\n\n"], "could not fetch");
    let redirect = "HTTP/1.1 301 Moved\nLocation: /again\nContent-Length: 0\n\n";
    fails(
        Box::leak(Box::new([redirect; 11])),
        "more than 10 redirects",
    );
}

#[test]
fn there_is_no_network_where_there_is_no_gateway_or_no_download() {
    let disabled = "network use is disabled. http can only be used during download step";
    let script = format!("{LOAD}def download(ctx):\n  http.get('http://a/')\n");
    Trial::of(&script).stage("download").run().failed(disabled);
    let dead = "http://127.0.0.1:1";
    let with = |script: String| Trial::of(&script).variable("HTTP_PROXY", dead);
    with(format!(
        "{LOAD}def transform(ds, ctx):\n  http.get('http://a/')\n"
    ))
    .run()
    .failed(disabled);
    with(format!("{LOAD}x = http.get('http://a/')\n"))
        .run()
        .failed(disabled);
    let top = format!("{LOAD}x = http.get('http://a/')\ndef download(ctx):\n  pass\n");
    with(top).stage("download").run().failed(disabled);
    with(script)
        .stage("download")
        .run()
        .failed("no gateway answers");
    let step = format!("# category: download\n{LOAD}x = http.get('http://a/')\n");
    with(step)
        .stage("download")
        .run()
        .failed("no gateway answers");
}
