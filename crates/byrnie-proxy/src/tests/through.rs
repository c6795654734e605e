//! Conversations of HTTP/1 through the proxy, as they are and mutated: an application hears requests that another
//! reader finds in what the client said, in this order, and nothing else.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::kit::{everything, obey, plain};
use super::resting::Group;
use crate::front::{Entrance, Front};
use crate::fuzz::driver::drive_some;
use crate::fuzz::{Message, chunks, message};
use crate::process::Process;
use crate::tcp::tests::mesh::{Mesh, application};
use crate::worker::Worker;

/// Mutations in an ordinary test: each is a conversation over sockets.
const FEW: u64 = 2_000;

/// What somebody says who is neither client nor proxy, after which the application has heard all that came before.
const FENCE: &[u8] = b"the end";

/// How much a proxy reads of its client at once.
const PIECES: [usize; 3] = [4_096, 64, 7];

#[test]
fn fuzz_through() {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    let stage = runtime.block_on(Stage::new());
    let (count, heard) = (Cell::new(0), Cell::new(0));
    drive_some("through", FEW, |input| {
        count.set(count.get() + 1);
        let limit = Duration::from_secs(20);
        let conversation = async { tokio::time::timeout(limit, stage.hear(input)).await };
        let (seen, answers) = runtime.block_on(conversation).expect("it goes on");
        heard.set(heard.get() + seen.len());
        let said = messages(input);
        if is_answered_whole(input) {
            hold_together(&said, &answers);
        }
        let mut said = said.into_iter();
        for request in seen {
            assert!(said.any(|message| is_same(&message, &request)), "nobody asked for {request:?}");
        }
    });
    // Or else everything was refused.
    assert!(heard.get() > count.get() / 4, "{} requests in {} conversations", heard.get(), count.get());
}

/// Whether the application heard what was said, as far as a proxy leaves targets as they are.
fn is_same(said: &Message, heard: &Message) -> bool {
    let is_plain = said.target.starts_with(b"/")
        && said.target.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'/')
        && !said.target.windows(2).any(|bytes| bytes == b"//");
    let is_said = heard.trailers.iter().all(|trailer| said.trailers.contains(trailer));
    said.method == heard.method
        && said.body == heard.body
        && is_said
        && (!is_plain || said.target == heard.target)
}

/// Who begins with HTTP/2's preface is answered in HTTP/2. And where a client asks to switch protocols, is refused, and
/// the connection ends with that, hyper 1.12 ends it with what it has not written yet.
fn is_answered_whole(input: &[u8]) -> bool {
    let lower = input.to_ascii_lowercase();
    let asks = |word: &[u8]| lower.windows(word.len()).any(|bytes| bytes == word);
    !input.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") && !asks(b"connect ") && !asks(b"upgrade")
}

/// Answers are whole, one behind the other, and none comes behind one that refuses.
fn hold_together(said: &[Message], mut answers: &[u8]) {
    let mut said = said.iter();
    let mut is_last = false;
    while !answers.is_empty() {
        let shown = String::from_utf8_lossy(answers).into_owned();
        assert!(!is_last, "behind the last answer: {shown:?}");
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(head)) = response.parse(answers) else {
            panic!("no answer: {shown:?}")
        };
        answers = &answers[head..];
        let code = response.code.unwrap();
        if code < 200 {
            continue;
        }
        let value = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).into_owned())
        };
        // What is refused within its body may be a HEAD as well, which is answered without one.
        let Some(message) = said.next() else { return };
        let is_chunked = value("transfer-encoding").is_some();
        let length = match value("content-length") {
            _ if message.method == b"HEAD" => 0,
            Some(text) => text.parse().unwrap(),
            None if is_chunked => {
                let whole = chunks(answers);
                let (_, trailers, end) = whole.unwrap_or_else(|| panic!("an answer breaks off: {shown:?}"));
                assert_eq!(trailers, [("t".to_owned(), b"1".to_vec())], "{shown:?}");
                end
            }
            // HTTP/1.0 has no chunks.
            None => answers.len(),
        };
        assert!(length <= answers.len(), "an answer breaks off: {shown:?}");
        answers = &answers[length..];
        is_last = value("connection").is_some_and(|text| text == "close");
    }
}

/// All that another reader finds, until something is no message.
fn messages(mut input: &[u8]) -> Vec<Message> {
    let mut found = Vec::new();
    while let Some(message) = message(input) {
        input = &input[message.end..];
        found.push(message);
    }
    found
}

/// Two proxies in front of an application: one has little memory, and lets connections rest whenever it can.
struct Stage {
    processes: [Arc<Process>; 2],
    _group: Group,
    application: SocketAddr,
    hearing: Rc<Hearing>,
}

#[derive(Default)]
struct Hearing {
    heard: RefCell<Vec<Message>>,
    is_fenced: Cell<bool>,
    open: Cell<u32>,
    changed: Notify,
}

impl Stage {
    async fn new() -> Self {
        let hearing = Rc::<Hearing>::default();
        let heard = Rc::clone(&hearing);
        let application = application(move |stream| Rc::clone(&heard).hear(stream)).await;
        let mesh = Mesh::new();
        let workers = [mesh.proxy("much"), mesh.proxy("little")];
        workers.iter().for_each(|worker| obey(worker, &everything(), &[plain("web", application)]));
        let group = Group::around(&workers[1]);
        let processes = workers.map(|worker| Arc::clone(&worker.process));
        Self { processes, _group: group, application, hearing }
    }

    /// What the application hears while a client says this, and then no more; and what the client hears.
    async fn hear(&self, input: &[u8]) -> (Vec<Message>, Vec<u8>) {
        // By chance, and for the same input always the same.
        let way: usize = input.iter().copied().map(usize::from).sum();
        // A worker of its own, so that all its connections end with it.
        let worker = Worker::new(0, Arc::clone(&self.processes[way % 2]));
        let front = Front::new(Entrance::Gateway(8000), None, self.application);
        let (client, server) = duplex(PIECES[way / 2 % 3]);
        let (mut answers, mut says) = tokio::io::split(client);
        let serving = async {
            crate::http::serve(&worker, &front, server).await;
        };
        let saying = async {
            // Who is cut off need not be heard.
            let _ = says.write_all(input).await;
            let _ = says.shutdown().await;
        };
        let listening = async {
            let mut heard = Vec::new();
            answers.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let ((), (), answers) = tokio::join!(serving, saying, listening);
        drop((worker, front));
        self.hearing.is_fenced.set(false);
        TcpStream::connect(self.application).await.unwrap().write_all(FENCE).await.unwrap();
        self.hearing.end().await;
        (self.hearing.heard.take(), answers)
    }
}

impl Hearing {
    /// Everything that began before the fence has ended.
    async fn end(&self) {
        while !self.is_fenced.get() || self.open.get() > 0 {
            self.changed.notified().await;
        }
    }

    /// Notes what comes on one connection, and answers it: PUT as soon as its head is there.
    async fn hear(self: Rc<Self>, mut stream: TcpStream) {
        self.open.set(self.open.get() + 1);
        let (mut buffer, mut is_answered, mut is_waved) = (Vec::new(), false, false);
        while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            while let Some(message) = message(&buffer) {
                buffer.drain(..message.end);
                if !std::mem::take(&mut is_answered) {
                    answer(&mut stream, &message.method).await;
                }
                is_waved = false;
                self.heard.borrow_mut().push(message);
            }
            let head = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            let head = head.and_then(|end| buffer.get(..end)).unwrap_or_default().to_ascii_lowercase();
            if head.starts_with(b"put ") && !is_answered {
                is_answered = true;
                answer(&mut stream, b"PUT").await;
            } else if head.windows(9).any(|bytes| bytes == b"\r\nexpect:") && !is_waved && !is_answered {
                is_waved = true;
                let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            }
        }
        if buffer == FENCE {
            self.is_fenced.set(true);
        }
        self.open.set(self.open.get() - 1);
        self.changed.notify_one();
    }
}

/// A POST's answer has trailers that nobody announces.
async fn answer(stream: &mut TcpStream, method: &[u8]) {
    let rest = match method {
        b"HEAD" => "content-length: 2\r\n\r\n",
        b"POST" => "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nt: 1\r\n\r\n",
        _ => "content-length: 2\r\n\r\nok",
    };
    // A proxy that has gone need not hear it.
    let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes()).await;
}
