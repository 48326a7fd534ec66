//! The README's tutorial: exactly the commands that it shows, by three people from nothing to an answer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use custody_tests::deadline::until;
use custody_tests::{Installation, binary};
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");

/// Where the tutorial's server listens, as by default.
const ADDRESS: &str = "127.0.0.1:7070";

/// Something that the tutorial shows.
#[derive(Debug)]
enum Shown {
    /// A file and its content.
    File(String, String),
    /// A command, and who types it.
    Command(String, String),
}

/// What stands between the markers.
fn tutorial() -> Vec<Shown> {
    let (_, rest) = README.split_once("<!-- tutorial: begin").expect("the tutorial begins");
    let (text, _) = rest.split_once("<!-- tutorial: end -->").expect("the tutorial ends");
    let (mut shown, mut file, mut fence) = (Vec::new(), None, None);
    for line in text.lines().skip(1) {
        if let Some(name) = line.strip_prefix("<!-- tutorial: ") {
            file = Some(name.trim_end_matches(" -->").to_owned());
        } else if let Some(kind) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(kind) };
            if fence == Some("yaml") {
                let name = file.take().expect("a file has a name");
                shown.push(Shown::File(name, String::new()));
            }
        } else if fence == Some("console") {
            let (who, command) =
                line.split_once("$ ").expect("every line of a console is a command");
            shown.push(Shown::Command(who.to_owned(), command.to_owned()));
        } else if fence.is_some()
            && let Some(Shown::File(_, content)) = shown.last_mut()
        {
            content.push_str(line);
            content.push('\n');
        }
    }
    shown
}

/// The shells of everybody, side by side in one directory.
struct Shells {
    place: TempDir,
    installation: Installation,
    at: BTreeMap<String, PathBuf>,
    server: Option<Child>,
    network: Network,
    leads_to: mpsc::Sender<u16>,
    printed: Vec<(String, String)>,
}

impl Shells {
    fn command(&mut self, who: &str, text: &str) -> Command {
        let together = self.place.path().join("together");
        let home = self.place.path().join(who);
        fs::create_dir_all(&home).expect("a home");
        let at = self.at.entry(who.to_owned()).or_insert(together).clone();
        let mut search = binary().parent().expect("a directory").as_os_str().to_owned();
        search.push(":/usr/local/bin:/usr/bin:/bin");
        let mut command = Command::new("sh");
        command
            .args(["-e", "-c", text])
            .current_dir(at)
            .env_clear()
            .env("PATH", search)
            .env("HOME", home)
            .stdin(Stdio::null());
        if who == "root" {
            command.env("CUSTODY_STATE", self.installation.state());
        }
        command
    }

    fn run(&mut self, who: &str, text: &str) {
        if let Some(text) = text.strip_suffix(" &") {
            self.serve(who, text);
            return;
        }
        let moved = self.place.path().join("moved");
        let text = format!("{text}\npwd >'{}'", moved.display());
        let output = self.command(who, &text).output().expect("sh starts");
        let both = [output.stdout.as_slice(), &output.stderr].concat();
        let said = String::from_utf8_lossy(&both).into_owned();
        assert!(output.status.success(), "{who}$ {text}\n{said}");
        let at = fs::read_to_string(moved).expect("written");
        self.at.insert(who.to_owned(), PathBuf::from(at.trim_end()));
        self.printed.push((text, said));
    }

    /// What runs in the background: the server.
    fn serve(&mut self, who: &str, text: &str) {
        let out = File::create(self.place.path().join("server.log")).expect("writable");
        let mut command = self.command(who, &format!("exec {text}"));
        command.env("CUSTODY_SERVER__LISTEN", "127.0.0.1:0");
        let errors = out.try_clone().expect("a descriptor");
        Network::enter(&self.network.outside);
        self.server = Some(command.stdout(out).stderr(errors).spawn().expect("sh starts"));
        Network::enter(&self.network.inside);
        let port = until("the server to say where it listens", || {
            let log = fs::read_to_string(self.place.path().join("server.log")).ok()?;
            let (_, rest) = log.split_once("serving http://127.0.0.1:")?;
            let (port, _) = rest.split_once('\n')?;
            port.parse().ok()
        });
        self.leads_to.send(port).expect("it leads");
    }

    fn said(&self, command: &str) -> &str {
        let found = self.printed.iter().find(|(text, _)| text.starts_with(command));
        &found.unwrap_or_else(|| panic!("the tutorial lacks {command}")).1
    }
}

impl Drop for Shells {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

#[test]
fn a_developer_an_admin_and_an_auditor_walk_the_readmes_tutorial() {
    let (network, leads_to) = Network::new();
    let place = TempDir::with_prefix("custody-tutorial-").expect("a directory");
    fs::create_dir(place.path().join("together")).expect("a directory");
    let installation = Installation::new();
    let mut shells = Shells {
        place,
        installation,
        at: BTreeMap::new(),
        server: None,
        network,
        leads_to,
        printed: Vec::new(),
    };
    for shown in tutorial() {
        match shown {
            Shown::File(name, content) => {
                let path = shells.place.path().join("together").join(name);
                fs::write(path, content).expect("written");
            }
            Shown::Command(who, text) => shells.run(&who, &text),
        }
    }
    let session = shells.installation.session().to_string();
    let answer = shells.said("custody investigate");
    for must in [session.as_str(), "dana", "admin", "team", "greeting.txt", "Hello, world"] {
        assert!(answer.contains(must), "the answer lacks {must}: {answer}");
    }
    assert!(shells.said("custody policy explain").contains("needs-approval"));
    assert!(shells.said("custody verify").contains("complete"));
    let control = shells.said("custody control events");
    for must in ["session.requested", "approval.granted", "record.accessed", "audra"] {
        assert!(control.contains(must), "the control log lacks {must}: {control}");
    }
    let merged = shells.place.path().join("together/app/greeting.txt");
    assert_eq!(fs::read_to_string(merged).expect("merged"), "Hello, world\n");
    assert_private(&shells.place.path().join("dana/.config/custody/contexts.yaml"));
}

/// Nobody else may read a file with a token.
fn assert_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A network with nothing but loopback, in which the tutorial's port leads to its server, whatever else runs on this machine.
/// The server stays outside: its keepers hear of processes only there.
struct Network {
    outside: File,
    inside: File,
}

impl Network {
    /// Makes one. Whoever connects in it is led to the port that `server` gets.
    fn new() -> (Self, mpsc::Sender<u16>) {
        let (ready, listener) = mpsc::channel::<TcpListener>();
        let (server, port) = mpsc::channel();
        // It stays outside, and so do the threads that it starts.
        thread::spawn(move || lead(&listener.recv().expect("a listener"), &port));
        let here = || File::open("/proc/thread-self/ns/net").expect("a network namespace");
        let outside = here();
        // SAFETY: unshare has no preconditions; only this thread is affected.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "a network namespace");
        loopback_up();
        ready.send(TcpListener::bind(ADDRESS).expect("a free port")).expect("it listens");
        (Self { outside, inside: here() }, server)
    }

    /// Moves this thread, and what it starts from now on.
    fn enter(network: &File) {
        // SAFETY: the descriptor is that of a network namespace; only this thread is affected.
        let entered = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(entered, 0, "the network namespace is entered");
    }
}

/// Leads every connection to the server.
fn lead(listener: &TcpListener, port: &mpsc::Receiver<u16>) {
    let Ok(port) = port.recv() else { return };
    for client in listener.incoming().map_while(Result::ok) {
        // A server that is not there closes the connection, as one that is gone does.
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        for (mut from, mut to) in [(&client, &server), (&server, &client)].map(|(from, to)| {
            (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"))
        }) {
            thread::spawn(move || {
                // Either end may break the connection.
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    }
}

fn loopback_up() {
    // SAFETY: socket has no preconditions.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
    assert!(socket >= 0, "a socket");
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let flags = libc::IFF_UP | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).expect("they fit");
    // SAFETY: the descriptor is open, and `request` lives through the call.
    let up = unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) };
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::close(socket) };
    assert_eq!(up, 0, "loopback is up");
}
