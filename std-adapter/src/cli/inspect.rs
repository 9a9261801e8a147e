//! `edgetrust inspect`: certificates as a person reads them.

use std::path::PathBuf;
use std::process::ExitCode;

use edgetrust::core::time::Utc;
use edgetrust::core::x509::{Certificate, GeneralName};
use edgetrust::pem;

use super::{Outcome, text};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// PEM files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(args: Args) -> Outcome {
    for file in &args.files {
        for (number, der) in (1..).zip(pem::read_certificates(file).map_err(text)?) {
            let certificate = Certificate::from_der(&der).map_err(text)?;
            println!("{} certificate {number}", file.display());
            show(&certificate);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(certificate: &Certificate<'_>) {
    let validity = certificate.validity();
    let extensions = certificate.extensions();
    println!("  subject     {}", certificate.subject());
    println!("  issuer      {}", certificate.issuer());
    println!("  serial      {}", hex(certificate.serial()));
    println!("  valid       {} to {}", Utc(validity.not_before), Utc(validity.not_after));
    for name in extensions.subject_alt_name.into_iter().flatten() {
        println!("  name        {}", general_name(name));
    }
    match extensions.basic_constraints {
        Some(constraints) if constraints.ca => match constraints.path_len {
            Some(below) => println!("  CA          at most {below} CAs below"),
            None => println!("  CA"),
        },
        _ => println!("  not a CA"),
    }
}

fn general_name(name: GeneralName<'_>) -> String {
    match name {
        GeneralName::Dns(name) => format!("DNS {}", name.escape_debug()),
        GeneralName::Uri(uri) => format!("URI {}", uri.escape_debug()),
        GeneralName::Rfc822(mailbox) => format!("email {}", mailbox.escape_debug()),
        GeneralName::Directory(name) => format!("directory {name}"),
        GeneralName::Ip(octets) => match <[u8; 4]>::try_from(octets) {
            Ok(v4) => format!("IP {}", std::net::Ipv4Addr::from(v4)),
            Err(_) => match <[u8; 16]>::try_from(octets) {
                Ok(v6) => format!("IP {}", std::net::Ipv6Addr::from(v6)),
                Err(_) => format!("IP {}", hex(octets)),
            },
        },
        _ => "of another kind".to_owned(),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}
