//! A server on loopback that speaks as much of S3 as a lake needs: put, put if new, get, list by
//! pages, remove many.
//!
//! Invariant: an object is there whole or not at all, and a list is in the order of bytes. It
//! checks no signature.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Objects in one page of a list, few enough that lists have several.
const PAGE: usize = 5;
/// Of so many puts of manifests, one answer is lost.
const LOST_OF: u32 = 4;

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    puts: u32,
}

struct Request {
    method: String,
    path: String,
    query: HashMap<String, String>,
    only_new: bool,
    body: Vec<u8>,
}

struct Answer {
    status: &'static str,
    body: Vec<u8>,
}

/// Starts the server; it ends with the runtime.
pub async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bucket = Arc::new(Mutex::new(Bucket::default()));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, Arc::clone(&bucket)));
        }
    });
    address
}

async fn serve(mut client: TcpStream, bucket: Arc<Mutex<Bucket>>) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let mut buffer = Vec::new();
    loop {
        let request = receive(&mut client, &mut buffer).await?;
        let answer = bucket.lock().unwrap().answer(&request)?;
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Length: {}\r\nETag: \"1\"\r\n\
             Last-Modified: Sun, 01 Mar 2026 00:00:00 GMT\r\n\r\n",
            answer.status,
            answer.body.len()
        );
        client.write_all(&[head.as_bytes(), &answer.body].concat()).await.ok()?;
    }
}

async fn receive(client: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        let found = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(end) = found {
            break end;
        }
        more(client, buffer).await?;
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: HashMap<String, &str> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    while buffer.len() < length {
        more(client, buffer).await?;
    }
    let body = buffer.drain(..length).collect();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
    let only_new = headers.get("if-none-match") == Some(&"*");
    Some(Request { method, path: decoded(path), query, only_new, body })
}

async fn more(client: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16 << 10];
    let read = client.read(&mut piece).await.ok().filter(|read| *read > 0)?;
    buffer.extend(&piece[..read]);
    Some(())
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
            }
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).unwrap()
}

impl Bucket {
    /// `None`: the connection ends instead.
    fn answer(&mut self, request: &Request) -> Option<Answer> {
        let key = request.path.splitn(3, '/').nth(2).unwrap_or_default().to_owned();
        let (status, body) = match request.method.as_str() {
            "PUT" if request.only_new && self.objects.contains_key(&key) => {
                ("412 Precondition Failed", Vec::new())
            }
            "PUT" => {
                self.objects.insert(key, request.body.clone());
                self.puts += u32::from(request.only_new);
                if request.only_new && self.puts.is_multiple_of(LOST_OF) {
                    return None;
                }
                ("200 OK", Vec::new())
            }
            "POST" => ("200 OK", self.remove(&String::from_utf8_lossy(&request.body))),
            "DELETE" => {
                self.objects.remove(&key);
                ("204 No Content", Vec::new())
            }
            _ if key.is_empty() => ("200 OK", self.list(&request.query)),
            _ => match self.objects.get(&key) {
                Some(bytes) => ("200 OK", bytes.clone()),
                None => ("404 Not Found", Vec::new()),
            },
        };
        Some(Answer { status, body })
    }

    fn remove(&mut self, body: &str) -> Vec<u8> {
        let mut answer = "<DeleteResult>".to_owned();
        for piece in body.split("<Key>").skip(1) {
            let key = piece.split_once('<').unwrap().0;
            self.objects.remove(key);
            answer += &format!("<Deleted><Key>{key}</Key></Deleted>");
        }
        (answer + "</DeleteResult>").into_bytes()
    }

    fn list(&self, query: &HashMap<String, String>) -> Vec<u8> {
        let of = |name: &str| query.get(name).cloned();
        let after = of("continuation-token").or(of("start-after")).unwrap_or_default();
        let prefix = of("prefix").unwrap_or_default();
        let following = self.objects.range((Bound::Excluded(after), Bound::Unbounded));
        let mut found = following.filter(|(key, _)| key.starts_with(&prefix));
        let mut answer = "<ListBucketResult>".to_owned();
        let mut last = String::new();
        for (key, bytes) in found.by_ref().take(PAGE) {
            answer += &format!(
                "<Contents><Key>{key}</Key><LastModified>2026-03-01T00:00:00.000Z</LastModified>\
                 <Size>{}</Size><ETag>1</ETag></Contents>",
                bytes.len()
            );
            last.clone_from(key);
        }
        if found.next().is_some() {
            answer += &format!("<NextContinuationToken>{last}</NextContinuationToken>");
        }
        (answer + "</ListBucketResult>").into_bytes()
    }
}
