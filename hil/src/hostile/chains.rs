//! Makes certificate chains with exactly one fault.

use rcgen::{
    BasicConstraints, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize,
};
use time::{Duration, OffsetDateTime};

use crate::pki::{Authority, Credential, Pki, Wish, p256};

/// The chain to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// Leaf and intermediate without fault.
    Right,
    /// An empty certificate list.
    Empty,
    WrongName,
    NoNames,
    WrongAuthority,
    SelfSigned,
    Expired,
    NotYetValid,
    ExpiredIntermediate,
    NoIntermediate,
    LeafAsAuthority,
    AuthorityAsLeaf,
    ClientsPurpose,
    NameConstraints,
    PathLength,
    UnknownCriticalExtension,
    Rsa,
    P384,
    Garbage,
    Trailing,
    /// The right chain with the intermediate repeated this number of times.
    Long(usize),
}

impl Chain {
    /// Returns the chain and the key of its first certificate.
    pub(super) fn make(self, pki: &Pki, name: &str) -> Credential {
        let wish = Wish::server(name);
        match self {
            Self::Right => pki.issue(&wish),
            Self::Empty => Credential { chain: Vec::new(), key: p256() },
            Self::WrongName => pki.issue(&Wish::server("other.example")),
            // A common name does not identify a server (RFC 6125 section 6.4.4).
            Self::NoNames => pki.issue(&Wish { names: Vec::new(), ..wish }),
            Self::WrongAuthority => pki.stranger.issue(&wish),
            Self::SelfSigned => {
                let key = p256();
                let certificate = wish.params().self_signed(&key).expect("it can be signed");
                Credential { chain: vec![certificate.der().to_vec()], key }
            }
            Self::Expired => pki.issue(&wish.valid(-20 * 86_400, -10 * 86_400)),
            Self::NotYetValid => pki.issue(&wish.valid(10 * 86_400, 20 * 86_400)),
            Self::ExpiredIntermediate => below(pki, &wish, |params| {
                params.not_before = OffsetDateTime::now_utc() - Duration::days(20);
                params.not_after = OffsetDateTime::now_utc() - Duration::days(10);
            }),
            Self::NoIntermediate => pki.intermediate.issue(&wish),
            Self::LeafAsAuthority => below(pki, &wish, |params| {
                params.is_ca = IsCa::ExplicitNoCa;
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            }),
            Self::AuthorityAsLeaf => with(pki, &wish, p256(), |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages.push(KeyUsagePurpose::KeyCertSign);
            }),
            Self::ClientsPurpose => pki.issue(&Wish { purposes: vec![ExtendedKeyUsagePurpose::ClientAuth], ..wish }),
            Self::NameConstraints => below(pki, &wish, |params| {
                let elsewhere = GeneralSubtree::DnsName("elsewhere.example".to_owned());
                params.name_constraints =
                    Some(NameConstraints { permitted_subtrees: vec![elsewhere], excluded_subtrees: Vec::new() });
            }),
            // The location's intermediate may have no other intermediate below it.
            Self::PathLength => {
                let below = pki.intermediate.below("Mesh CA A 2", |_| {});
                let mut credential = below.issue(&wish);
                credential.chain.extend([below.der, pki.intermediate.der.clone()]);
                credential
            }
            Self::UnknownCriticalExtension => with(pki, &wish, p256(), |params| {
                let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }),
            Self::Rsa => {
                let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
                with(pki, &wish, key, |_| {})
            }
            Self::P384 => with(pki, &wish, KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"), |_| {}),
            Self::Garbage => Credential { chain: vec![vec![0x5a; 500]], key: p256() },
            Self::Trailing => {
                let mut credential = pki.issue(&wish);
                if let Some(leaf) = credential.chain.first_mut() {
                    leaf.push(0);
                }
                credential
            }
            Self::Long(count) => {
                let mut credential = pki.issue(&wish);
                credential.chain.extend(std::iter::repeat_n(pki.intermediate.der.clone(), count));
                credential
            }
        }
    }
}

/// Issues a right leaf below an altered intermediate.
fn below(pki: &Pki, wish: &Wish, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Credential {
    let intermediate: Authority = pki.root.below("Mesh CA B", change);
    let mut credential = intermediate.issue(wish);
    credential.chain.push(intermediate.der);
    credential
}

/// Issues an altered leaf.
fn with(pki: &Pki, wish: &Wish, key: KeyPair, change: impl FnOnce(&mut rcgen::CertificateParams)) -> Credential {
    let mut params = wish.params();
    params.distinguished_name.push(DnType::OrganizationName, "Mesh");
    change(&mut params);
    Credential { chain: vec![pki.intermediate.sign(&params, &key), pki.intermediate.der.clone()], key }
}
