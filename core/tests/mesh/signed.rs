//! Tests the form of signed meshes: what is not exactly a JWS of ours is refused.

use edgetrust_core::mesh::{Digest, Offer};
use edgetrust_core::mesh::{Edition, MAX_MESH, MAX_SIGNED_MESH, Mesh, SignedMesh, SignedMeshError, scratch_length};
use rcgen::SigningKey;

use crate::pki::{NOW, Signer, base64, base64url, refusal, root, signer_params, text, time, verified, with_trust};

fn signer() -> Signer {
    root().signer(&signer_params("3"))
}

#[test]
fn a_signed_mesh_proves_who_signed_it() {
    let (signer, payload) = (signer(), text(&[]));
    verified(&signer.sign(&payload), |signed| {
        let signed = signed.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(signed.payload(), payload.as_bytes());
        assert_eq!((signed.generation(), signed.signer().der()), (3, signer.x5c[0].as_slice()));
        let offer = signed.offer().unwrap_or_else(|error| panic!("{error}"));
        let digest = Digest::of(payload.as_bytes());
        assert_eq!(offer.edition(), Edition { generation: 3, sequence: 7, digest });
        assert_eq!(offer.mesh().name(), "Example Mesh");
    });
}

#[test]
fn what_is_signed_need_not_be_a_mesh_until_it_is_offered() {
    verified(&signer().sign("{}"), |signed| {
        let signed = signed.unwrap();
        let error = signed.offer().map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "mesh: found nothing, expected this key");
    });
    let endless = text(&[(r#""not_after": "2027-06-01T00:00:00Z","#, "")]);
    assert!(Mesh::parse(endless.as_bytes()).is_ok() && Offer::unsigned(endless.as_bytes()).is_ok());
    verified(&signer().sign(&endless), |signed| {
        let signed = signed.unwrap();
        let error = signed.offer().map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "not_after: found nothing, expected this key in a mesh that is signed");
    });
}

#[test]
fn a_jws_has_three_members() {
    let good = signer().sign(&text(&[]));
    let beginning = "not a flattened JWS (RFC 7515 section 7.2.2): ";
    for (from, to, expected) in [
        ("{", r#"{"header":{"kid":"1"},"#, r#"header: found "header", expected a known key"#),
        (
            "{",
            r#"{"signatures":[],"#,
            r#"signatures: found "signatures", expected a known key; did you mean "signature"?"#,
        ),
        (r#"{"payload""#, r#"{"protected":"e30","payload""#, r#"protected: found "protected", expected each key once"#),
        (r#""signature""#, r#""x""#, r#"x: found "x", expected a known key"#),
        (r#"{"payload":"#, r#"{"payload":7,"x":"#, "payload: found 7, expected text in quotes"),
    ] {
        assert_eq!(refusal(&good.replacen(from, to, 1)), format!("{beginning}{expected}"));
    }
    let compact = good.split('"').skip(3).step_by(4).collect::<Vec<_>>().join(".");
    assert!(refusal(&compact).starts_with(beginning), "compact serialization");
    let without = format!("{}}}", &good[..good.find(r#","signature""#).unwrap()]);
    assert_eq!(refusal(&without), format!("{beginning}signature: found nothing, expected this key"));
    assert!(refusal(&format!("{good}{good}")).starts_with(beginning));
}

#[test]
fn the_protected_header_has_three_members() {
    let signer = signer();
    let good = signer.header();
    let known = "expected a known key";
    for (from, to, expected) in [
        ("ES256", "none", r#"protected.alg: found "none", expected "ES256""#.to_owned()),
        ("ES256", "RS256", r#"protected.alg: found "RS256", expected "ES256""#.to_owned()),
        ("ES256", "HS256", r#"protected.alg: found "HS256", expected "ES256""#.to_owned()),
        ("ES256", "ES384", r#"protected.alg: found "ES384", expected "ES256""#.to_owned()),
        ("ES256", "es256", r#"protected.alg: found "es256", expected "ES256""#.to_owned()),
        (r#""alg":"ES256","#, "", "protected.alg: found nothing, expected this key".to_owned()),
        ("edgetrust-mesh+jws", "JOSE", r#"protected.typ: found "JOSE", expected "edgetrust-mesh+jws""#.to_owned()),
        (r#""typ":"edgetrust-mesh+jws","#, "", "protected.typ: found nothing, expected this key".to_owned()),
        ("{", r#"{"crit":["b64"],"b64":false,"#, format!(r#"protected.crit: found "crit", {known}"#)),
        ("{", r#"{"b64":false,"#, format!(r#"protected.b64: found "b64", {known}"#)),
        ("{", r#"{"jwk":{"kty":"EC"},"#, format!(r#"protected.jwk: found "jwk", {known}"#)),
        ("{", r#"{"jku":"https://a.example/","#, format!(r#"protected.jku: found "jku", {known}"#)),
        (
            "{",
            r#"{"x5u":"https://a.example/","#,
            format!(r#"protected.x5u: found "x5u", {known}; did you mean "x5c"?"#),
        ),
        ("{", r#"{"kid":"1","#, format!(r#"protected.kid: found "kid", {known}"#)),
        ("{", r#"{"zip":"DEF","#, format!(r#"protected.zip: found "zip", {known}"#)),
        ("{", r#"{"alg":"ES256","#, r#"protected.alg: found "alg", expected each key once"#.to_owned()),
        ("{", r#"{"\u0061lg":"none","#, "protected: found '\\\\', expected text without \\".to_owned()),
        ("}", "}}", "protected: found '}', expected nothing after the last }".to_owned()),
        ("{", "", "protected: found \"alg\", expected an object".to_owned()),
    ] {
        let header = good.replacen(from, to, 1);
        assert_eq!(refusal(&signer.sign_with_header(&text(&[]), &header)), expected, "{to}");
    }
}

#[test]
fn x5c_has_the_signers_certificate_and_maybe_its_roots() {
    let mut signer = signer();
    let good = signer.header();
    let begin = good.find(r#""x5c":"#).unwrap();
    let (certificate, other) = (base64(&signer.x5c[0]), base64(&root().signer(&signer_params("3")).x5c[0]));
    let url = certificate.replace('+', "-").replace('/', "_");
    let not_base64 = "protected.x5c[0]: expected a certificate in base64 with padding (RFC 7515 section 4.1.6)";
    let not_der = "protected.x5c[0]: expected a certificate: at byte 0: not the DER expected here";
    let two = "expected one certificate or two";
    for (x5c, expected) in [
        (String::new(), "protected.x5c: found nothing, expected this key".to_owned()),
        (r#""x5c":[]"#.to_owned(), format!("protected.x5c: found nothing, {two}")),
        (format!(r#""x5c":"{certificate}""#), format!("protected.x5c: found \"{}\", expected a list", &certificate[..80])),
        (r#""x5c":["AAAA"]"#.to_owned(), not_der.to_owned()),
        (r#""x5c":[""]"#.to_owned(), not_der.to_owned()),
        (format!(r#""x5c":["{}"]"#, &certificate[..certificate.len() - 1]), not_base64.to_owned()),
        (format!(r#""x5c":["{url}~"]"#), not_base64.to_owned()),
        (
            format!(r#""x5c":["{certificate}","{other}"]"#),
            "protected.x5c[1]: expected a certificate of the root that issued the first one: a CA with room for CAs below it, for every name and purpose".to_owned(),
        ),
        (format!(r#""x5c":["{certificate}","AAAA"]"#), not_der.replace("[0]", "[1]")),
        (format!(r#""x5c":["{certificate}","{other}","{other}"]"#), format!("protected.x5c[2]: found more, {two}")),
    ] {
        let header = format!("{}{x5c}}}", &good[..begin]).replace(",}", "}");
        assert_eq!(refusal(&signer.sign_with_header(&text(&[]), &header)), expected);
    }
    // The certificate of a root that is held may stand there too.
    signer.x5c.push(root().der.clone());
    verified(&signer.sign(&text(&[])), |signed| assert!(signed.is_ok()));
}

/// Replaces the value of a member of a JWS.
fn replaced(jws: &str, member: &str, value: &str) -> String {
    let begin = jws.find(&format!("\"{member}\":\"")).unwrap() + member.len() + 4;
    let end = begin + jws[begin..].find('"').unwrap();
    format!("{}{value}{}", &jws[..begin], &jws[end..])
}

fn member<'t>(jws: &'t str, member: &str) -> &'t str {
    let begin = jws.find(&format!("\"{member}\":\"")).unwrap() + member.len() + 4;
    jws[begin..].split('"').next().unwrap()
}

#[test]
fn parts_are_base64url_without_padding() {
    let good = signer().sign(&text(&[]));
    for name in ["protected", "signature"] {
        let (value, expected) = (member(&good, name), "expected base64url without padding (RFC 7515 section 2)");
        let mut wrong = value.to_owned();
        wrong.replace_range(..1, "+");
        assert_eq!(refusal(&replaced(&good, name, &wrong)), format!("{name}: {expected}"));
    }
    let protected = member(&good, "protected");
    assert!(
        refusal(&replaced(&good, "protected", &format!("{protected}=="))).starts_with("protected: expected base64url")
    );
    let spaced = format!("{} {}", &protected[..8], &protected[8..]);
    assert!(refusal(&replaced(&good, "protected", &spaced)).starts_with("protected: expected base64url"));
    // What is signed has that form too: the payload is decoded only after its signature was verified.
    let signer = signer();
    let (payload, header) = ("e30=", base64url(signer.header().as_bytes()));
    let der = signer.key.sign(format!("{header}.{payload}").as_bytes()).unwrap();
    let (r, s) = edgetrust_core::crypto::read_ecdsa_signature(&der).unwrap();
    let signature = base64url(&[r, s].concat());
    let padded = format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#);
    assert!(refusal(&padded).starts_with("payload: expected base64url without padding"));
}

#[test]
fn a_signature_has_64_octets_and_is_of_both_parts() {
    let signer = signer();
    let good = signer.sign(&text(&[]));
    for octets in [0, 63, 65] {
        let jws = replaced(&good, "signature", &base64url(&vec![1; octets]));
        let expected = format!("signature: found {octets} octets, expected 64 (RFC 7518 section 3.4)");
        assert_eq!(refusal(&jws), expected);
    }
    let input = format!("{}.{}", member(&good, "protected"), member(&good, "payload"));
    let der = signer.key.sign(input.as_bytes()).unwrap();
    let expected = format!("signature: found {} octets, expected 64 (RFC 7518 section 3.4)", der.len());
    assert_eq!(refusal(&replaced(&good, "signature", &base64url(&der))), expected);
    let bad = "the signature was not made by the signer's key";
    for zero in [[0; 64].as_slice(), &[[0; 32], [1; 32]].concat(), &[[1; 32], [0; 32]].concat(), &[1; 64]] {
        assert_eq!(refusal(&replaced(&good, "signature", &base64url(zero))), bad);
    }
    assert_eq!(refusal(&replaced(&good, "payload", &base64url(b"{}"))), bad);
    let mut header = signer.header();
    header.push(' ');
    assert_eq!(refusal(&replaced(&good, "protected", &base64url(header.as_bytes()))), bad);
    let other = Signer { x5c: signer.x5c.clone(), key: rcgen::KeyPair::generate().unwrap() };
    assert_eq!(refusal(&other.sign(&text(&[]))), bad);
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    let signer = signer();
    let mut payload = text(&[]);
    payload.push_str(&" ".repeat(MAX_MESH - payload.len()));
    let largest = signer.sign(&payload);
    assert!(largest.len() < MAX_SIGNED_MESH);
    verified(&largest, |signed| assert!(signed.unwrap().offer().is_ok()));
    payload.push(' ');
    let larger = signer.sign(&payload);
    let expected = format!("found {} octets, expected a signed mesh of at most {MAX_SIGNED_MESH}", larger.len());
    assert_eq!(refusal(&larger), expected);
    let longer = format!("{largest}{}", " ".repeat(MAX_SIGNED_MESH + 1 - largest.len()));
    assert!(refusal(&longer).starts_with(&format!("found {} octets", MAX_SIGNED_MESH + 1)));
    let header = signer.header().replacen('{', &format!("{{{}", " ".repeat(32_768)), 1);
    assert!(refusal(&signer.sign_with_header("{}", &header)).starts_with("found "));
}

#[test]
fn a_buffer_that_is_too_short_is_no_reason_to_panic() {
    let text = signer().sign(&text(&[]));
    let needed = scratch_length(text.len());
    let mut scratch = vec![0; needed - 1];
    with_trust(&[&root().der], &[], |trust| {
        let error = SignedMesh::verify(text.as_bytes(), &mut scratch, trust, time(NOW)).map(|_| ()).unwrap_err();
        assert_eq!(error, SignedMeshError::Scratch { octets: needed });
    });
}
