//! The certificates that a list is about (RFC 5280 sections 5.2.5 and 6.3.3).

use super::error::{RevocationListError, RevocationListErrorKind as Kind};
use crate::x509::reader::{DerReader, tag};
use crate::x509::{Certificate, Exhausted, Work};

/// id-ce-cRLDistributionPoints
const DISTRIBUTION_POINTS: [u8; 3] = [0x55, 0x1d, 31];

/// The part of its CA's certificates that a list is about: all, unless the issuingDistributionPoint says less.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope<'a> {
    /// The GeneralNames of the distribution point, without header; empty where there is none.
    names: &'a [u8],
    user_only: bool,
    ca_only: bool,
}

/// The relation of a list to a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Covered {
    No,
    /// The list is of a distribution point, and the certificate names none.
    PlaceNotNamed,
    Yes,
}

impl<'a> Scope<'a> {
    /// Reads an issuingDistributionPoint, and refuses what is not processed.
    pub(super) fn read(reader: &mut DerReader<'a>) -> Result<Self, RevocationListError> {
        let at = reader.error();
        let malformed = || at(Kind::DistributionPoint);
        let mut fields = reader.enter(tag::SEQUENCE).map_err(|_| malformed())?;
        let mut scope = Self::default();
        if let Some(point) = fields.optional(tag::context_constructed(0)).map_err(|_| malformed())? {
            let mut point = fields.inside(&point)?;
            if point.peek() == Some(tag::context_constructed(1)) {
                return Err(at(Kind::RelativeName));
            }
            let names = point.require(tag::context_constructed(0)).map_err(|_| malformed())?;
            let mut each = point.inside(&names)?;
            while !each.is_empty() {
                each.tlv()?;
            }
            point.end()?;
            scope.names = names.value;
            if scope.names.is_empty() {
                return Err(malformed());
            }
        }
        scope.user_only = flag(&mut fields, 1).ok_or_else(malformed)?;
        scope.ca_only = flag(&mut fields, 2).ok_or_else(malformed)?;
        if fields.optional(tag::context(3)).map_err(|_| malformed())?.is_some() {
            return Err(at(Kind::SomeReasons));
        }
        if flag(&mut fields, 4).ok_or_else(malformed)? {
            return Err(at(Kind::Indirect));
        }
        if flag(&mut fields, 5).ok_or_else(malformed)? {
            return Err(at(Kind::AttributeCertificates));
        }
        fields.end()?;
        // RFC 5280 section 5.2.5: at most one of them, and an empty sequence is not written
        if scope.user_only && scope.ca_only || !scope.user_only && !scope.ca_only && scope.names.is_empty() {
            return Err(malformed());
        }
        Ok(scope)
    }

    /// Returns whether the list is of one distribution point.
    pub(super) fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    /// Returns whether the list is about a certificate of its CA (RFC 5280 section 6.3.3 (b) (2)).
    pub(super) fn has(&self, certificate: &Certificate<'_>, work: &mut Work) -> Result<Covered, Exhausted> {
        let is_ca = certificate.extensions().basic_constraints.is_some_and(|constraints| constraints.ca);
        if is_ca && self.user_only || !is_ca && self.ca_only {
            return Ok(Covered::No);
        }
        if self.names.is_empty() {
            return Ok(Covered::Yes);
        }
        // The extension is looked for here: a field would cost every certificate on a device.
        work.spend(certificate.tbs().len() / 16)?;
        match certificate.extension(&DISTRIBUTION_POINTS) {
            None => Ok(Covered::PlaceNotNamed),
            Some(points) => self.is_named_in(points, work).map(|named| if named { Covered::Yes } else { Covered::No }),
        }
    }

    /// Returns whether one of the certificate's distribution points has a name of the list's. What cannot be read has
    /// none.
    fn is_named_in(&self, points: &[u8], work: &mut Work) -> Result<bool, Exhausted> {
        work.spend(points.len())?;
        let Ok(mut points) = DerReader::new(points).enter(tag::SEQUENCE) else { return Ok(false) };
        while !points.is_empty() {
            let Ok(mut point) = points.enter(tag::SEQUENCE) else { return Ok(false) };
            let Ok(name) = point.optional(tag::context_constructed(0)) else { return Ok(false) };
            let Some(name) = name.and_then(|name| point.inside(&name).ok()) else { continue };
            // reasons: the list has all of them
            let (Ok(_), Ok(crl_issuer)) =
                (point.optional(tag::context(1)), point.optional(tag::context_constructed(2)))
            else {
                return Ok(false);
            };
            // The list there is another CA's.
            if crl_issuer.is_some() {
                continue;
            }
            let mut name = name;
            let Ok(mut full) = name.enter(tag::context_constructed(0)) else { continue };
            while let Ok(one) = full.tlv() {
                let mut own = DerReader::new(self.names);
                while let Some(other) = own.again() {
                    work.spend_identity(other.whole.len())?;
                    if other.whole == one.whole {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

/// Reads a `[number] BOOLEAN DEFAULT FALSE`.
fn flag(fields: &mut DerReader<'_>, number: u8) -> Option<bool> {
    match fields.optional(tag::context(number)).ok()? {
        None => Some(false),
        Some(tlv) if tlv.value == [0xff] => Some(true),
        Some(_) => None,
    }
}
