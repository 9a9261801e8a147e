//! NATS servers with JetStream, alone or as a cluster, which take TLS clients with a certificate of their root alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::{Process, Root, free_port, own_ip, tool};

pub struct JetStream {
    pub folder: TempDir,
    root: Root,
    nodes: Vec<Node>,
}

struct Node {
    client: SocketAddr,
    cluster: SocketAddr,
    process: Option<Process>,
}

impl JetStream {
    /// Starts this many servers, each at an address of its own.
    pub fn start(count: usize) -> Self {
        let (folder, root) = (tempfile::tempdir().unwrap(), Root::new());
        std::fs::write(folder.path().join("root.crt"), &root.pem).unwrap();
        let nodes = (0..count).map(|_| {
            let ip = own_ip();
            Node { client: free_port(ip), cluster: free_port(ip), process: None }
        });
        let mut servers = Self { folder, root, nodes: nodes.collect() };
        for number in 0..count {
            servers.write(number);
            servers.start_node(number);
        }
        servers
    }

    /// Writes the files of a server that runs on another machine, at this address.
    pub fn elsewhere(address: SocketAddr) -> Self {
        let (folder, root) = (tempfile::tempdir().unwrap(), Root::new());
        std::fs::write(folder.path().join("root.crt"), &root.pem).unwrap();
        let servers = Self { folder, root, nodes: vec![Node { client: address, cluster: address, process: None }] };
        servers.write(0);
        servers
    }

    /// Returns the file of a server's configuration.
    pub fn config(&self, number: usize) -> PathBuf {
        self.file(&format!("conf-{number}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, number: usize) {
        let node = &self.nodes[number];
        let (cert, key) = self.root.server(&[&node.client.ip().to_string()]);
        let file = |name: &str| self.file(&format!("{name}-{number}"));
        std::fs::write(file("cert"), cert).unwrap();
        std::fs::write(file("key"), key).unwrap();
        let mut config = json!({
            "server_name": format!("nats-{number}"), "listen": node.client.to_string(),
            "jetstream": {"store_dir": file("store"), "max_file_store": 64 << 20, "max_memory_store": 16 << 20},
            "tls": {
                "cert_file": file("cert"), "key_file": file("key"), "ca_file": self.file("root.crt"), "verify": true,
            },
        });
        if self.nodes.len() > 1 {
            let routes = self.nodes.iter().map(|node| format!("nats://{}", node.cluster));
            let routes: Vec<_> = routes.collect();
            config["cluster"] = json!({"name": "site", "listen": node.cluster.to_string(), "routes": routes});
        }
        std::fs::write(file("conf"), config.to_string()).unwrap();
    }

    pub fn start_node(&mut self, number: usize) {
        let mut command = tool("nats-server");
        command.arg("-c").arg(self.config(number));
        command.arg("-l").arg(self.file(&format!("log-{number}")));
        let address = self.nodes[number].client;
        self.nodes[number].process = Some(Process::at(command, address));
    }

    pub fn kill(&mut self, number: usize) {
        self.nodes[number].process = None;
    }

    /// Returns where clients connect to a server.
    pub fn client(&self, number: usize) -> SocketAddr {
        self.nodes[number].client
    }

    /// Returns the folder of a server that keeps its streams.
    pub fn store(&self, number: usize) -> PathBuf {
        self.file(&format!("store-{number}"))
    }

    /// Returns `acme.storage` for a gateway whose files are in this folder; `sealing` is the text of the sealing key.
    pub fn storage(&self, folder: &Path, sealing: &str) -> Value {
        use std::os::unix::fs::PermissionsExt;
        let (cert, key) = self.root.device("gateway", &["gateway"]);
        let file = |name: &str| folder.join(name);
        for (name, text) in [("nats.crt", cert.as_str()), ("nats.key", &key), ("sealing.key", sealing)] {
            std::fs::write(file(name), text).unwrap();
            std::fs::set_permissions(file(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let servers: Vec<_> = self.nodes.iter().map(|node| format!("tls://{}", node.client)).collect();
        json!({"nats": {
            "servers": servers, "bucket": "edgetrust", "cert_file": file("nats.crt"), "key_file": file("nats.key"),
            "ca_files": [self.file("root.crt")], "sealing_key_files": [file("sealing.key")],
            "replicas": self.nodes.len(),
        }})
    }
}
