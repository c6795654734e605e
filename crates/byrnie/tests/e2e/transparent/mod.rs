//! `byrnie up --transparent`: programs that know nothing of a mesh, in network namespaces of their own.

mod bad_days;
mod both_modes;
mod bytes;
mod capture;
mod original_source;
mod programs;
mod restart;

use byrnie_testkit::{Ground, Mode};

/// The program that is tested.
const PROGRAM: &str = env!("CARGO_BIN_EXE_byrnie");

/// A captured mesh.
fn captured(mesh: &str, objects: &[String]) -> Ground {
    Ground::start(PROGRAM, Mode::Transparent, mesh, &objects.concat())
}

/// A Workload that runs this command and serves one port under the label `app: APP`; `more` is spliced into its spec.
fn server(name: &str, app: &str, port: u16, command: &[&str], more: &str) -> String {
    let command = serde_json::to_string(command).unwrap();
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!(
        "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}
spec: {{serviceAccount: {app}, address: 127.0.0.1, ports: [{{name: main, port: {port}}}], command: {command}{more}}}
"
    )
}

/// A Workload that waits for programs to be run in its place.
fn caller(name: &str) -> String {
    format!(
        "---
apiVersion: mesh.byrnie.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop}}
spec: {{serviceAccount: {name}, command: [sleep, infinity]}}
"
    )
}

/// A Service of the Workloads with `app: NAME` at this port; `protocol` may be empty.
fn service(name: &str, port: u16, protocol: &str) -> String {
    let protocol = if protocol.is_empty() { String::new() } else { format!(", appProtocol: {protocol}") };
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{name: main, port: {port}, targetPort: main{protocol}}}]}}
"
    )
}

/// A web server that says its name and the path.
fn web(name: &str, app: &str, port: u16) -> String {
    const SCRIPT: &str = "
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = (sys.argv[1] + ' ' + self.path + '\\n').encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[2])), Handler).serve_forever()
";
    server(name, app, port, &["python3", "-c", SCRIPT, name, &port.to_string()], "")
}

/// curl's answer; what is not 2xx is a failure of the program.
fn curl(url: &str) -> [&str; 6] {
    ["curl", "-sS", "--fail", "--max-time", "10", url]
}
