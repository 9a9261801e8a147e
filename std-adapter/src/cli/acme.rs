//! Implements `edgetrust acme`: certificates by hand and by timers.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetrust_core::identity::without_root;
use edgetrust_core::rotation::{Policy, SlotCertificate};
use edgetrust_core::time::Utc;
use serde_json::json;
use tokio::net::TcpListener;
use tracing::{info, warn};

use super::config_choice::ConfigChoice;
use super::{Failure, Outcome};
use crate::accept::{Accepting, Few};
use crate::acme::{AcmeError, AcmeIssuer, Responders, account_file};
use crate::agent::{Agents, Assignment, Once, Replica, assignments};
use crate::clock;
use crate::config_file::with_config;
use crate::store::{Entry, Held, Home, StorageError};
use crate::tls::{ClientAuth, ClientHello, LiveCredential, MinVersion, ServerSettings, TlsServer};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show the stored certificates with their expiry and renewal times. Exit code 1: one is missing or has expired
    Status {
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Obtain missing certificates and renew due ones; otherwise do nothing. For use in timers
    Obtain {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        listen: Listen,
    },
    /// Obtain a new certificate now; a running gateway that has the certificate does it
    Renew {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        listen: Listen,
    },
    /// Revoke the certificate in use (RFC 8555 section 7.6); run `renew` afterwards
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Give key compromise as the reason
        #[arg(long)]
        key_compromise: bool,
    },
    /// Show the account; create it if it is missing
    Account {
        #[command(flatten)]
        which: Which,
        /// Replace the account's key (RFC 8555 section 7.3.5)
        #[arg(long)]
        roll_key: bool,
    },
}

#[derive(clap::Args)]
struct Which {
    #[command(flatten)]
    config: ConfigChoice,
    /// Select only the certificate with this name
    #[arg(long, value_name = "DOMAIN")]
    name: Option<String>,
}

#[derive(clap::Args)]
struct Listen {
    /// Address that answers tls-alpn-01 without a running gateway, such as 0.0.0.0:443
    #[arg(long, value_name = "ADDR:PORT")]
    tls_alpn_listen: Option<SocketAddr>,
}

/// The time limit for a running gateway's renewal.
const PATIENCE: Duration = Duration::from_secs(300);

/// The time limit for the gateway's answer after the renewal.
const ANSWER: Duration = Duration::from_secs(5);

pub(crate) fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.command {
            Command::Status { which, json } => status(&which.assignments()?, json).await,
            Command::Obtain { which, listen } => each(&which, |one| obtain(one, listen.tls_alpn_listen, false)).await,
            Command::Renew { which, listen } => each(&which, |one| obtain(one, listen.tls_alpn_listen, true)).await,
            Command::Revoke { which, key_compromise } => each(&which, |one| revoke(one, key_compromise)).await,
            Command::Account { which, roll_key } => each(&which, |one| account(one, roll_key)).await,
        }
    })
}

impl Which {
    fn assignments(&self) -> Result<Vec<Assignment>, Failure> {
        let file = self.config.file()?;
        let mut all = with_config(&file, assignments)??;
        if let Some(name) = &self.name {
            let name = without_root(name);
            all.retain(|one| one.settings.domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)));
        }
        if all.is_empty() {
            let of = self.name.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
            return Err(format!("{}: found no enabled acme section{of}", file.display()).into());
        }
        Ok(all)
    }
}

fn name(assignment: &Assignment) -> &str {
    assignment.settings.domains.first().map_or("", String::as_str)
}

/// Works on one assignment after the other; a failure is printed, and the others are tried.
async fn each<F: Future<Output = Result<String, Failure>>>(which: &Which, work: impl Fn(Assignment) -> F) -> Outcome {
    let mut code = ExitCode::SUCCESS;
    for assignment in which.assignments()? {
        let name = name(&assignment).to_owned();
        match work(assignment).await {
            Ok(said) => outln!("{name}: {said}"),
            Err(error) => {
                outln!("{name}: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn active(home: &Home) -> Result<(Option<SlotCertificate>, Vec<String>), Failure> {
    let kept = home.kept().await?;
    Ok((kept.active, kept.errors))
}

async fn status(all: &[Assignment], json: bool) -> Outcome {
    let (now, mut good, mut shown) = (clock::now(), true, Vec::new());
    for assignment in all {
        let settings = &assignment.settings;
        let (active, mut errors) = active(&settings.home).await?;
        let valid = active.is_some_and(|active| active.not_before <= now && now <= active.not_after);
        let policy = Policy { renew_before_s: settings.renew_before_s, ..Policy::default() };
        let renewed = active.map(|active| active.not_after.as_secs().saturating_sub(policy.lead_s(&active)));
        let renewed = renewed.map(|at| Utc(pki_types::UnixTime::since_unix_epoch(Duration::from_secs(at))).to_string());
        let account = account_file(&settings.home).await?;
        // An order that cannot be read is one, too.
        let order = settings.home.look(Entry::Order).await.map_or_else(
            |error| {
                errors.push(error.to_string());
                true
            },
            |order| order.is_some(),
        );
        good &= valid && errors.is_empty();
        shown.push(json!({
            "name": name(assignment),
            "domains": settings.domains,
            "directory": settings.directory_url,
            "storage_path": settings.home.to_string(),
            "valid": valid,
            "expires": active.map(|active| Utc(active.not_after).to_string()),
            "renewed_by": renewed,
            "account": account.and_then(|account| account.url),
            "order_under_way": order,
            "errors": errors,
        }));
    }
    if json {
        outln!("{:#}", json!({ "credentials": shown }));
    } else {
        for one in &shown {
            let text = |key: &str| one.get(key).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
            let valid = if one.get("valid") == Some(&json!(true)) { "valid" } else { "NOT VALID" };
            outln!("{}: {valid}, expires {}, renewed by {}", text("name"), text("expires"), text("renewed_by"));
            outln!("  directory {}, account {}, kept in {}", text("directory"), text("account"), text("storage_path"));
            for error in one.get("errors").and_then(|errors| errors.as_array()).into_iter().flatten() {
                outln!("  error: {error}");
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn obtain(assignment: Assignment, listen: Option<SocketAddr>, force: bool) -> Result<String, Failure> {
    let home = assignment.settings.home.clone();
    let held = match home.take().await {
        Ok(held) => held,
        Err(StorageError::InUse(_)) => return by_the_gateway(&home, force).await,
        Err(error) => return Err(error.into()),
    };
    let live = LiveCredential::new();
    let _answering = match listen {
        Some(address) => Some(answer_validations(address, &live).await?),
        None => None,
    };
    match Agents::once(assignment, held, live, force).await? {
        Once::Renewed => Ok(format!("renewed, {}", expires(&home).await?)),
        Once::Fresh => Ok(format!("fresh, {}", expires(&home).await?)),
        Once::Failed(reason) => Err(reason.into()),
    }
}

async fn expires(home: &Home) -> Result<String, Failure> {
    let (active, _) = active(home).await?;
    Ok(active.map_or("nothing is kept".to_owned(), |active| format!("expires {}", Utc(active.not_after))))
}

/// Reports a certificate of a running gateway, which renews by itself; with `force`, asks the gateway to renew now.
async fn by_the_gateway(home: &Home, force: bool) -> Result<String, Failure> {
    let before = active(home).await?.0;
    if !force {
        let valid = before.is_some_and(|active| clock::now() <= active.not_after);
        let said = format!("a running gateway keeps it fresh, {}", expires(home).await?);
        return if valid { Ok(said) } else { Err(said.into()) };
    }
    let started = clock::system().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let number = format!("{}x{}", std::process::id(), started.as_nanos());
    Agents::request(home, &number).await?;
    info!(folder = %home, "a running gateway is asked to renew");
    let (since, mut renewed) = (Instant::now(), None::<Instant>);
    while since.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(250)).await;
        // Withdrawn before the answer is read, since a gateway may answer just before it ends.
        let gone = Agents::withdraw(home).await;
        match Agents::answer(home, &number).await? {
            Some(Ok(())) => return Ok(format!("renewed by the running gateway, {}", expires(home).await?)),
            Some(Err(error)) => return Err(format!("the running gateway: {error}").into()),
            // A gateway that cannot answer, for example on a full disk, may still have renewed the certificate.
            None if active(home).await?.0 == before && gone => {
                return Err("the gateway that had the folder ended before it had renewed: run this again".into());
            }
            None if active(home).await?.0 == before => {}
            None if renewed.get_or_insert_with(Instant::now).elapsed() < ANSWER => {}
            None => return Ok(format!("renewed by the running gateway, {}", expires(home).await?)),
        }
    }
    Err(format!("the running gateway has not renewed within {} s: its log says why", PATIENCE.as_secs()).into())
}

/// The number of validations that are answered at the same time.
const VALIDATIONS: usize = 64;

/// Answers tls-alpn-01 without a gateway.
async fn answer_validations(address: SocketAddr, live: &LiveCredential) -> Result<Accepting, Failure> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("--tls-alpn-listen: cannot listen on {address}: {error}"))?;
    let server = TlsServer::new(ServerSettings {
        credential: live.credential(),
        client_auth: ClientAuth::Off,
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    });
    let server = Arc::new(server?);
    let answer = move |stream, remote| {
        let server = server.clone();
        async move {
            let answered = async { ClientHello::read(stream).await?.answer_challenge([&*server].into_iter()).await };
            match tokio::time::timeout(Duration::from_secs(10), answered).await {
                Ok(Ok(name)) => info!(%remote, %name, "tls-alpn-01 answered"),
                Ok(Err(error)) => warn!(%remote, "tls-alpn-01 not answered: {error}"),
                Err(_) => warn!(%remote, "tls-alpn-01 not answered: no handshake within 10 s"),
            }
        }
    };
    Ok(Accepting::begin(Few::new(listener, VALIDATIONS, answer, |error| warn!("accept: {error}"))))
}

/// Works with the account, which is this gateway's own, or that of all gateways that share the credential.
async fn with_account(
    assignment: &Assignment,
    held: Arc<dyn Held>,
    work: impl AsyncFnOnce(&mut AcmeIssuer) -> Result<(), AcmeError>,
) -> Result<(), Failure> {
    let settings = &assignment.settings;
    let replica = Replica::of(held.clone(), settings, 0).await?;
    let held = replica.as_ref().map_or(held, Replica::held);
    let mut issuer = AcmeIssuer::new(settings.clone(), held, Responders::default(), LiveCredential::new())?;
    match replica {
        None => work(&mut issuer).await?,
        Some(replica) => replica.sharing().while_held(|| work(&mut issuer)).await?,
    }
    Ok(())
}

async fn revoke(assignment: Assignment, key_compromise: bool) -> Result<String, Failure> {
    let home = &assignment.settings.home;
    let (active, _) = active(home).await?;
    let kept = home.read(active.ok_or("nothing is kept")?.slot).await?;
    let leaf = kept.chain.first().ok_or("the chain is empty")?;
    let held = match home.take().await {
        Ok(held) => held,
        Err(StorageError::InUse(_)) => return Err("stop the gateway first: it has the account".into()),
        Err(error) => return Err(error.into()),
    };
    with_account(&assignment, held, async |issuer| issuer.revoke(leaf, key_compromise).await).await?;
    Ok("revoked; peers that look at revocation lists refuse it. Now: edgetrust acme renew".to_owned())
}

async fn account(assignment: Assignment, roll_key: bool) -> Result<String, Failure> {
    let home = &assignment.settings.home;
    match home.take().await {
        Ok(held) => {
            let work = async |issuer: &mut AcmeIssuer| {
                issuer.account().await?;
                if roll_key { issuer.roll_account_key().await } else { Ok(()) }
            };
            with_account(&assignment, held, work).await?;
        }
        Err(StorageError::InUse(_)) if !roll_key => {}
        Err(error) => return Err(error.into()),
    }
    let account = account_file(home).await?.ok_or("there is no account yet")?;
    let rolled = if roll_key { ", with a new key" } else { "" };
    Ok(format!(
        "account {}{rolled}, contact {}",
        account.url.as_deref().unwrap_or("-"),
        account.email.as_deref().unwrap_or("-")
    ))
}
