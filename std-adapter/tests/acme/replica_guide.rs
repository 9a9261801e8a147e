//! Runs the commands of `docs/REPLICAS.md`, with other addresses.

use super::ca::{Process, StepCa, free_port, own_ip, tool};
use super::peers::{PATIENCE, Program, blocks, echo, shell};
use std::path::Path;
use std::time::Instant;

fn said(folder: &Path, commands: &str) -> String {
    String::from_utf8(shell(folder, commands).stdout).unwrap()
}

/// Runs a command of the guide from the guide's folder.
fn run(folder: &Path, command: &str) -> Program {
    let mut arguments: Vec<String> = command.split_whitespace().skip(1).map(str::to_owned).collect();
    let script = format!("cd {} && exec \"$0\" \"$@\"", folder.display());
    arguments.splice(0..0, [script, env!("CARGO_BIN_EXE_edgetrust").to_owned()]);
    Program::start_shell(&arguments)
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn the_guide_to_several_gateways_from_beginning_to_end() {
    let ca = StepCa::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let blocks = blocks("docs/REPLICAS.md");
    let [sealing, certificates, nats_conf, nats_server, gateway_json, second, check, start, renew, new_sealing] =
        &blocks[..]
    else {
        panic!("{} code blocks, expected ten: this test runs each", blocks.len());
    };
    let nats = free_port(own_ip());
    let replaced = |text: &str| {
        text.replace("127.0.0.1:4222", &nats.to_string())
            .replace("IP:127.0.0.1", &format!("IP:{}", nats.ip()))
            .replace("https://127.0.0.1:9000/acme/acme/directory", &ca.directory())
            .replace("0.0.0.0:80\"", &format!("{}\"", ca.http))
            .replace("127.0.0.1:9090", "127.0.0.1:0")
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("127.0.0.1:8081", &echo().to_string())
    };
    std::fs::copy(ca.root_file(), folder.join("mesh-root.pem")).unwrap();
    for commands in [sealing, &replaced(certificates), &replaced(nats_conf)] {
        shell(folder, commands);
    }
    let mut command = tool("nats-server");
    command.current_dir(folder).args(nats_server.split_whitespace().skip(1));
    let _nats = Process::at(command, nats);
    std::fs::write(folder.join("gateway.json"), replaced(gateway_json)).unwrap();
    shell(folder, second);
    // Neither has its folder yet: the findings are of the CA and of the files.
    shell(folder, check);
    let gateways = [start.clone(), start.replace("gateway.json", "gateway-2.json")].map(|start| run(folder, &start));
    for gateway in &gateways {
        gateway.wait_for("the issued certificate is shown");
    }
    let live = ["acme", "acme-2"].map(|name| folder.join(name).join("live/cert.pem"));
    let same = |before: &str| {
        let until = Instant::now() + PATIENCE;
        loop {
            let all = live.each_ref().map(|file| std::fs::read_to_string(file).unwrap_or_default());
            if all[0] == all[1] && !all[0].is_empty() && all[0] != before {
                return all[0].clone();
            }
            assert!(Instant::now() < until, "two certificates");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let first = same("");
    let shown = said(folder, renew);
    assert!(shown.starts_with("gateway.a.example: renewed by the running gateway, expires "), "{shown}");
    let second = same(&first);

    // A new sealing key, on all before the next step.
    shell(folder, new_sealing);
    let files = ["gateway.json", "gateway-2.json"].map(|name| folder.join(name));
    let mut before = "[\"sealing.key\"]".to_owned();
    let steps: Vec<_> = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/REPLICAS.md"))
        .unwrap()
        .split("\"sealing_key_files\": [")
        .filter_map(|rest| rest.split_once(']').map(|(names, _)| format!("[{names}]")))
        .filter(|names| names.contains("sealing-new.key"))
        .collect();
    assert_eq!(steps.len(), 3);
    let mut shown = second;
    for step in steps {
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.contains(&before), "{text}");
            std::fs::write(file, text.replace(&before, &step)).unwrap();
        }
        for gateway in &gateways {
            gateway.signal("HUP");
            gateway.wait_for("reloaded cause=");
        }
        said(folder, renew);
        shown = same(&shown);
        before = step;
    }
}
