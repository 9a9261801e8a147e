//! Runs the handshake, and hears both verdicts: ours on the server, and the server's on us.

use std::io;
use std::time::Duration;

use edgetrust_core::time::Utc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::io::InspectReader;

use super::alerts;
use super::certificate::Described;
use super::first::First;
use super::planned::Planned;
use super::reasons;
use super::report::{Level, Part, Report};
use crate::gateway::Address;
use crate::tls::{
    AcceptError, Admission, Answer, ClientStream, Seen, TlsClient, answer, is_tls13, received_alert, tickets,
    version_name,
};

/// The time for which an accepted connection is to stay open: a gateway whose service is down ends it at once.
const STAYS: Duration = Duration::from_millis(500);

/// The time for closing a connection in order.
const CLOSING: Duration = Duration::from_secs(1);

/// Runs the handshake, and waits for the server's verdict. No data is sent.
pub(super) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    planned: &Planned,
    address: &Address,
    stream: S,
    patience: Duration,
    report: &mut Report,
) {
    let (client, observed) = match TlsClient::observed(planned.tls.clone()) {
        Ok(made) => made,
        Err(error) => return report.add(Part::Handshake, Level::Error, error.to_string()),
    };
    let first = First::default();
    let kept = first.clone();
    let stream = InspectReader::new(stream, move |octets| kept.take(octets));
    let mut told = None;
    let shaken = timeout(patience, client.connect_telling(planned.server_name.clone(), stream, &mut told)).await;
    let seen = observed.seen();
    report.server_certificate = Described::new(&seen.chain);
    match shaken {
        Ok(Ok((mut stream, admission))) => {
            report.version = version_name(stream.get_ref().1);
            let version = report.version.unwrap_or("TLS");
            report.add(Part::Handshake, Level::Ok, format!("{version} with {address}"));
            ours(planned, Some(&admission), report);
            theirs(&mut stream, &seen, patience, report).await;
            // Errors are ignored: the server may be gone.
            let _ = timeout(CLOSING, stream.shutdown()).await;
        }
        Ok(Err(AcceptError::Refused(refusal, _))) => {
            report.add(Part::Handshake, Level::Warning, format!("with {address}: ended from here, for our verdict"));
            let advice = reasons::advice(&refusal);
            report.advise(Part::OurVerdict, Level::Error, format!("refused: {refusal}"), advice);
            report.add(Part::TheirVerdict, Level::Skipped, "not heard: we refuse the server first");
        }
        Ok(Err(AcceptError::Io(error))) => failed(planned, address, &error, &seen, &first, report),
        Ok(Err(error @ (AcceptError::LeftSilently | AcceptError::Settings(_)))) => {
            report.add(Part::Handshake, Level::Error, format!("with {address}: {error}"));
        }
        Err(_) => {
            let (what, advice) = reasons::silent(&first);
            report.advise(Part::Handshake, Level::Error, format!("with {address}: {what} within {patience:?}"), advice);
        }
    }
    // A stream with unread octets would be reset, and the alert be lost.
    if let Some(mut stream) = told {
        let leaving = async { stream.shutdown().await.is_ok() && stream.read(&mut [0; 1024]).await.is_ok() };
        // The server may never close; then it has had its time.
        let _ = timeout(CLOSING, leaving).await;
    }
}

/// Reports our verdict on a server that is taken.
fn ours(planned: &Planned, admission: Option<&Admission>, report: &mut Report) {
    if planned.insecure {
        return report.advise(
            Part::OurVerdict,
            Level::Error,
            "NOT VERIFIED: insecure_skip_verify: whoever answers is believed",
            "take insecure_skip_verify out here, and name the CA of the other side in ca_files",
        );
    }
    let issuer = report.server_certificate.as_ref().map_or("", Described::issuer).to_owned();
    let name = planned.server_name.to_str();
    let (how, until) = match admission.map(Admission::peer) {
        Some(Some(peer)) => ("accepted", format!("; until {}", Utc(peer.valid_until()))),
        Some(None) => ("accepted", String::new()),
        None => ("accepted, as far as the handshake went", String::new()),
    };
    let what = format!("{how}: it is {name}, issued by {issuer}; {}{until}", planned.issuers);
    report.add(Part::OurVerdict, Level::Ok, what);
}

/// Reports a handshake that the server, or the network, has ended.
fn failed(planned: &Planned, address: &Address, error: &io::Error, seen: &Seen, first: &First, report: &mut Report) {
    if seen.accepted {
        ours(planned, None, report);
    }
    let alert = received_alert(error);
    // In TLS 1.2 the handshake ends with the server's verdict (RFC 5246 section 7.4.6), in TLS 1.3 before it.
    if let Some(number) = alert.filter(|number| seen.asked && alerts::is_of_certificate(*number)) {
        report.version = Some("TLSv1.2");
        report.add(Part::Handshake, Level::Warning, format!("TLSv1.2 with {address}: ended by the server's verdict"));
        return refused(number, seen, report);
    }
    let Some(number) = alert else {
        let (what, advice) = reasons::broken(error, first);
        return report.advise(Part::Handshake, Level::Error, format!("with {address}: {what}"), advice);
    };
    let said = alerts::meaning(number);
    report.alert = Some(said.name.to_owned());
    let what = format!("with {address}: the server ends it with the alert {} ({number}): {}", said.name, said.meaning);
    report.advise(Part::Handshake, Level::Error, what, said.advice);
}

/// Reports the alert by which a server refuses us.
fn refused(number: u8, seen: &Seen, report: &mut Report) {
    let said = alerts::meaning(number);
    report.alert = Some(said.name.to_owned());
    let shown = if seen.answered { "our certificate was shown" } else { "no certificate was shown" };
    let what = format!("refused by the alert {} ({number}): {} ({shown})", said.name, said.meaning);
    report.advise(Part::TheirVerdict, Level::Error, what, said.advice);
}

/// Waits for the server's verdict on us, and looks whether the connection then stays.
async fn theirs<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut ClientStream<S>,
    seen: &Seen,
    patience: Duration,
    report: &mut Report,
) {
    let part = Part::TheirVerdict;
    let with = if seen.answered { "our certificate" } else { "us without a certificate" };
    if !seen.asked {
        report.add(part, Level::Ok, "it asks for no certificate, and so refuses none");
    } else if !is_tls13(stream.get_ref().1) {
        // RFC 5246 section 7.4.9: the server's Finished comes after it has judged our certificate.
        report.add(part, Level::Ok, format!("accepted: it has finished the handshake with {with}"));
    } else {
        match timeout(patience, answer(stream, 0)).await {
            Ok(Answer::Ticket) => {
                report.add(part, Level::Ok, format!("accepted: it gave a ticket, which it does after judging {with}"));
            }
            Ok(Answer::Data) => report.add(part, Level::Ok, format!("accepted: it sent data, having judged {with}")),
            Ok(Answer::Failed(error)) => match received_alert(&error) {
                Some(number) => return refused(number, seen, report),
                None => return left(&error.to_string(), report),
            },
            Ok(Answer::Closed) => return left("it has closed the connection", report),
            Err(_) => report.add(
                part,
                Level::Warning,
                format!("no refusal of {with} within {patience:?}; more is not known: it sends nothing by itself"),
            ),
        }
    }
    stays(stream, patience.min(STAYS), report).await;
}

/// Reports that a server has left where its verdict was expected. It may have accepted us, and sent its ticket too late.
fn left(why: &str, report: &mut Report) {
    // RFC 8446 section 4.4.2.4: a certificate is refused by an alert.
    report.add(Part::TheirVerdict, Level::Warning, "not known: it left without an alert, by which servers refuse");
    ended(why, report);
}

fn ended(why: &str, report: &mut Report) {
    report.advise(
        Part::Service,
        Level::Error,
        format!("ended by the server right after the handshake: {why}"),
        "the other side looks whether the service behind its gateway is up, at its limits, and at its log",
    );
}

/// Reports whether a connection stays open for a while.
async fn stays<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut ClientStream<S>,
    patience: Duration,
    report: &mut Report,
) {
    let until = Instant::now().checked_add(patience).unwrap_or_else(Instant::now);
    let mut data = false;
    let why = loop {
        let known = tickets(stream);
        match timeout_at(until, answer(stream, known)).await {
            Err(_) => {
                let speaks = if data { ", and the server speaks first" } else { "" };
                let what =
                    format!("the connection stays open for {patience:?}{speaks}; nothing was sent to the service");
                return report.add(Part::Service, Level::Ok, what);
            }
            Ok(Answer::Ticket) => {}
            Ok(Answer::Data) => data = true,
            Ok(Answer::Closed) => break "it has closed the connection".to_owned(),
            Ok(Answer::Failed(error)) => break error.to_string(),
        }
    };
    ended(&why, report);
}
