//! The parts of the manual and the help beside the arguments: examples, files, signals, exit status.

use clap::Command;

/// A subcommand, with what its page says.
pub(super) struct Page {
    /// The words after `edgetrust`.
    pub(super) command: &'static str,
    /// A purpose, and a command line for it.
    pub(super) examples: &'static [(&'static str, &'static str)],
    pub(super) files: &'static [&'static [(&'static str, &'static str)]],
    pub(super) signals: &'static [(&'static str, &'static str)],
    /// The exit status where it means more than [`EXIT`] says.
    pub(super) exit: &'static [(&'static str, &'static str)],
}

const PAGE: Page = Page { command: "", examples: &[], files: &[], signals: &[], exit: EXIT };

type Terms = &'static [(&'static str, &'static str)];

const EXIT: Terms = &[
    ("0", "Success."),
    ("1", "The check failed, or what was asked for did not succeed."),
    ("2", "Wrong usage, or an invalid configuration."),
];

const EXIT_OF_SERVICE: Terms = &[
    ("0", "A signal to stop has come, and the open connections have ended or were cut at the drain deadline."),
    ("2", "Wrong usage, a configuration that is refused, or an address that is in use."),
];

const CONFIGURATION: Terms = &[
    ("./gateway.json", "The configuration, if --config names no other file."),
    ("/etc/edgetrust/gateway.json", "The configuration, if --config names no file and the working folder has none."),
];

const STORED: Terms = &[(
    "STORAGE_PATH",
    "The folder that an acme section names: its account, keys and certificates. One process holds it at a time.",
)];

const VOUCHERS: Terms = &[(
    "STORAGE_PATH/vouchers.json",
    "The vouchers, below the folder that gateway.est.acme names: passwords as hashes, for the gateway's user alone.",
)];

const MESH: Terms = &[
    ("DIR/mesh.json", "The mesh: the only record, from which the other files follow."),
    ("DIR/mesh.signed.json", "The same, signed for the gateways."),
    ("DIR/sites/SITE", "All that one site needs, to be carried there."),
    ("DIR/passwords", "The passwords of the keys; to be kept elsewhere."),
];

const SIGNALS: Terms = &[
    ("SIGHUP", "Reads the configuration and all its files again. What is refused changes nothing."),
    (
        "SIGTERM, SIGINT",
        "Accepts no more connections, and lets the open ones end within the drain timeout. A second one cuts them.",
    ),
];

/// The pages, in the order of the help.
pub(super) const PAGES: &[Page] = &[
    Page {
        command: "",
        files: &[CONFIGURATION],
        examples: &[
            ("Write a first configuration, by three questions", "edgetrust init"),
            ("Check it, and run it", "edgetrust check --config gateway.json"),
            ("", "edgetrust run --config gateway.json"),
        ],
        ..PAGE
    },
    Page {
        command: "status",
        files: &[CONFIGURATION],
        exit: &[
            ("0", "The gateway has answered, and no alarm is an error."),
            ("1", "An alarm is an error."),
            ("2", "Wrong usage, or no answer."),
        ],
        examples: &[
            ("See on one screen whether all is well", "edgetrust status"),
            ("Watch it, with the traffic of each tunnel", "edgetrust status --watch"),
            ("See who is connected, and who was refused", "edgetrust status sessions refusals"),
            ("Ask a gateway whose configuration is not here", "edgetrust status --admin 127.0.0.1:9090"),
            (
                "Ask a gateway whose pages are behind mutual TLS",
                "edgetrust status --admin gateway.b.example:9443 --cacert mesh-root.pem --cert operator.pem --key operator.key",
            ),
        ],
        ..PAGE
    },
    Page {
        command: "unit gateway",
        files: &[CONFIGURATION],
        examples: &[(
            "Print a unit that fits a configuration",
            "edgetrust unit gateway --config /etc/edgetrust/gateway.json",
        )],
        ..PAGE
    },
    Page {
        command: "unit ca",
        examples: &[("Print a unit for the CA of a site", "edgetrust unit ca --config /etc/step-ca/ca.json")],
        ..PAGE
    },
    Page {
        command: "init",
        files: &[CONFIGURATION],
        examples: &[
            ("Answer three questions at a terminal", "edgetrust init"),
            (
                "Accept TLS for a service on this machine, from one client",
                "edgetrust init --mode server --listen 0.0.0.0:8443 --target 127.0.0.1:8081 --cert a.pem --key a.key --ca mesh-root.pem --allow-dns gateway.b.example",
            ),
            (
                "Reach a server over TLS from this machine",
                "edgetrust init --mode client --listen 127.0.0.1:9001 --target gateway.b.example:8443 --ca mesh-root.pem --cert a.pem --key a.key",
            ),
        ],
        ..PAGE
    },
    Page {
        command: "run",
        files: &[CONFIGURATION, STORED],
        signals: SIGNALS,
        exit: EXIT_OF_SERVICE,
        examples: &[
            ("Run all tunnels of a file", "edgetrust run --config gateway.json"),
            (
                "With a log for machines, and reloads on SIGHUP alone",
                "edgetrust run --log-format json --watch-interval 0s",
            ),
        ],
    },
    Page {
        command: "serve",
        signals: SIGNALS,
        exit: EXIT_OF_SERVICE,
        examples: &[(
            "Let one client in",
            "edgetrust serve --listen 0.0.0.0:8443 --target 127.0.0.1:8081 --cert a.pem --key a.key --cacert mesh-root.pem --allow-dns gateway.b.example",
        )],
        ..PAGE
    },
    Page {
        command: "connect",
        signals: SIGNALS,
        exit: EXIT_OF_SERVICE,
        examples: &[(
            "Reach a server that asks for a certificate",
            "edgetrust connect --listen 127.0.0.1:9001 --target gateway.b.example:8443 --cacert mesh-root.pem --no-system-roots --cert a.pem --key a.key",
        )],
        ..PAGE
    },
    Page {
        command: "check",
        files: &[CONFIGURATION, STORED],
        examples: &[
            ("Check before a reload", "edgetrust check --config gateway.json"),
            ("Look up targets and ask ACME directories too", "edgetrust check --config gateway.json --online"),
            (
                "Show the settings of each tunnel, and where each is written",
                "edgetrust check --config gateway.json --effective",
            ),
        ],
        ..PAGE
    },
    Page {
        command: "probe",
        files: &[CONFIGURATION, STORED],
        examples: &[(
            "Try a client tunnel, and hear both verdicts",
            "edgetrust probe --config gateway.json --tunnel to-b",
        )],
        ..PAGE
    },
    Page {
        command: "inspect",
        exit: &[
            ("0", "Certificates were shown. Whether they are good is not judged."),
            ("1", "The server has shown none; the reason is printed."),
            ("2", "Wrong usage, or a file that cannot be read."),
        ],
        examples: &[
            ("Show the certificates of files", "edgetrust inspect a.pem mesh-root.pem"),
            ("Show what a server shows, without judging it", "edgetrust inspect gateway.b.example:8443"),
            ("At an address, for a name", "edgetrust inspect 192.0.2.7:8443 --server-name gateway.b.example"),
        ],
        ..PAGE
    },
    Page {
        command: "verify",
        exit: &[
            ("0", "The certificate is accepted."),
            ("1", "The certificate is refused; the reason is printed."),
            ("2", "Wrong usage, or a file that cannot be read."),
        ],
        examples: &[
            (
                "Verify a server's certificate",
                "edgetrust verify --ca mesh-root.pem --leaf a.pem --purpose server --name gateway.a.example",
            ),
            (
                "Verify a client's, at another time",
                "edgetrust verify --ca mesh-root.pem --leaf b.pem --purpose client --cn location-b --at 2027-01-31T00:00:00Z",
            ),
        ],
        ..PAGE
    },
    Page {
        command: "acme status",
        files: &[CONFIGURATION, STORED],
        examples: &[(
            "Show stored certificates and when they are renewed",
            "edgetrust acme status --config gateway.json",
        )],
        ..PAGE
    },
    Page {
        command: "acme obtain",
        files: &[CONFIGURATION, STORED],
        examples: &[("Renew what is due, from a timer", "edgetrust acme obtain --config gateway.json")],
        ..PAGE
    },
    Page {
        command: "acme renew",
        files: &[CONFIGURATION, STORED],
        examples: &[(
            "Renew one certificate now",
            "edgetrust acme renew --config gateway.json --name gateway.a.example",
        )],
        ..PAGE
    },
    Page {
        command: "acme revoke",
        files: &[CONFIGURATION, STORED],
        examples: &[(
            "Revoke a certificate whose key was stolen",
            "edgetrust acme revoke --config gateway.json --name gateway.a.example --key-compromise",
        )],
        ..PAGE
    },
    Page {
        command: "acme account",
        files: &[CONFIGURATION, STORED],
        examples: &[("Give the account another key", "edgetrust acme account --config gateway.json --roll-key")],
        ..PAGE
    },
    Page {
        command: "devices invite",
        files: &[CONFIGURATION, VOUCHERS],
        examples: &[
            (
                "Make a voucher that ends in a day, into a file for the device's image",
                "edgetrust devices invite sensor-7.a.example --config gateway.json > sensor-7.voucher",
            ),
            (
                "Make one for a device that is set up next week",
                "edgetrust devices invite sensor-7.a.example --config gateway.json --valid-for 168h",
            ),
        ],
        ..PAGE
    },
    Page {
        command: "devices list",
        files: &[CONFIGURATION, VOUCHERS],
        examples: &[("Show which vouchers are open", "edgetrust devices list --config gateway.json")],
        ..PAGE
    },
    Page {
        command: "devices revoke",
        files: &[CONFIGURATION, VOUCHERS],
        examples: &[(
            "Revoke the voucher of a device that was lost on its way",
            "edgetrust devices revoke sensor-7.a.example --config gateway.json",
        )],
        ..PAGE
    },
    Page {
        command: "federation",
        files: &[MESH],
        examples: &[
            (
                "Make a mesh of three sites, and see who reaches whom",
                "edgetrust federation init mesh --name \"Example Mesh\" --site a=a.example --site b=b.example --site c=c.example",
            ),
            ("", "edgetrust federation check mesh"),
        ],
        ..PAGE
    },
    Page {
        command: "federation init",
        files: &[MESH],
        examples: &[(
            "Make a mesh in which a reaches b",
            "edgetrust federation init mesh --name \"Example Mesh\" --site a=a.example --site b=b.example --link a:b:feed",
        )],
        ..PAGE
    },
    Page {
        command: "federation add",
        files: &[MESH],
        examples: &[(
            "Add a site that reaches another",
            "edgetrust federation add mesh --site d=d.example --link d:a:feed",
        )],
        ..PAGE
    },
    Page {
        command: "federation request",
        files: &[MESH],
        examples: &[("At the site: make a key that stays there", "edgetrust federation request site-a a")],
        ..PAGE
    },
    Page {
        command: "federation sign",
        files: &[MESH],
        examples: &[(
            "At the root: add the site of a request",
            "edgetrust federation sign mesh ca.csr --site a=a.example",
        )],
        ..PAGE
    },
    Page {
        command: "federation install",
        files: &[MESH],
        examples: &[("At the site: put the certificate beside its key", "edgetrust federation install site-a ca.pem")],
        ..PAGE
    },
    Page {
        command: "federation remove",
        files: &[MESH],
        examples: &[("Take a site out", "edgetrust federation remove mesh d --yes")],
        ..PAGE
    },
    Page {
        command: "federation link",
        files: &[MESH],
        examples: &[("Let d reach b", "edgetrust federation link mesh d b --service feed")],
        ..PAGE
    },
    Page {
        command: "federation unlink",
        files: &[MESH],
        examples: &[("Take the link away", "edgetrust federation unlink mesh d b --service feed --yes")],
        ..PAGE
    },
    Page {
        command: "federation deny",
        files: &[MESH],
        examples: &[(
            "Deny the key of a stolen site",
            "edgetrust federation deny mesh --certificate mesh/sites/d/ca.pem --reason \"laptop stolen\" --yes",
        )],
        ..PAGE
    },
    Page {
        command: "federation allow",
        files: &[MESH],
        examples: &[(
            "Take a denial back",
            "edgetrust federation allow mesh --key sha256:0000000000000000000000000000000000000000000000000000000000000000",
        )],
        ..PAGE
    },
    Page {
        command: "federation sign-mesh",
        files: &[MESH],
        examples: &[("Sign after a change by hand", "edgetrust federation sign-mesh mesh")],
        ..PAGE
    },
    Page {
        command: "federation signer",
        files: &[MESH],
        examples: &[("Retire the signer", "edgetrust federation signer mesh")],
        ..PAGE
    },
    Page {
        command: "federation renew",
        files: &[MESH],
        examples: &[
            ("Give the CA of site a another key, in three steps", "edgetrust federation renew mesh a start"),
            ("", "edgetrust federation renew mesh a commit --yes"),
            ("", "edgetrust federation renew mesh a finish --yes"),
        ],
        ..PAGE
    },
    Page {
        command: "federation rollover",
        files: &[MESH],
        examples: &[
            ("Give the mesh another root, in three steps", "edgetrust federation rollover mesh start"),
            ("", "edgetrust federation rollover mesh commit --yes"),
            ("", "edgetrust federation rollover mesh finish --yes"),
        ],
        ..PAGE
    },
    Page {
        command: "federation show",
        files: &[MESH],
        examples: &[("Show certificates with their ends, links and denials", "edgetrust federation show mesh")],
        ..PAGE
    },
    Page {
        command: "federation check",
        files: &[MESH],
        examples: &[
            ("Judge a folder", "edgetrust federation check mesh"),
            ("Judge one file, as a site has it", "edgetrust federation check mesh.signed.json"),
        ],
        ..PAGE
    },
    Page {
        command: "schema",
        examples: &[("Write the schema for an editor", "edgetrust schema > gateway.schema.json")],
        ..PAGE
    },
    Page {
        command: "demo",
        examples: &[("Keep what the demo makes, as examples", "edgetrust demo --keep demo")],
        ..PAGE
    },
    Page {
        command: "completions",
        examples: &[("Load completions into this shell", "edgetrust completions bash > edgetrust.bash")],
        ..PAGE
    },
    Page { command: "man", examples: &[("Write the pages of all subcommands", "edgetrust man --out .")], ..PAGE },
];

/// Returns the page of a subcommand. One without a page of its own has the exit status.
pub(super) fn page(command: &str) -> &'static Page {
    PAGES.iter().find(|page| page.command == command).unwrap_or(&PAGE)
}

/// Adds the examples to the help of a command and of all its subcommands.
pub(super) fn with_examples(mut program: Command, command: &str) -> Command {
    let examples: Vec<_> = page(command)
        .examples
        .iter()
        .map(|(what, line)| if what.is_empty() { format!("    {line}") } else { format!("  {what}:\n    {line}") })
        .collect();
    if !examples.is_empty() {
        program = program.after_help(format!("Examples:\n{}", examples.join("\n")));
    }
    let names: Vec<_> = program.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for name in names {
        let inner = below(command, &name);
        program = program.mut_subcommand(name, |one| with_examples(one, &inner));
    }
    program
}

/// Returns the words of a subcommand.
pub(super) fn below(command: &str, name: &str) -> String {
    format!("{command} {name}").trim_start().to_owned()
}
