//! Public vectors and public specifications: RFC 8785, DSSE, in-toto. What they say is checked with code that we did
//! not write.

mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boon::{Compiler, SchemaIndex, Schemas};
use custody_record::canonical;
use custody_record::seal::{
    Envelope, PAYLOAD_TYPE, PREDICATE_SCHEMA_ID, PREDICATE_TYPE, STATEMENT_SCHEMA_ID,
    STATEMENT_TYPE, pre_authentication,
};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use samples::{Place, keys};
use serde_json::{Value, json};

fn fixtures(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(below)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Whole numbers that are spelled as fractions, as integers: the same numbers to RFC 8785, and the only ones to us.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().unwrap();
            if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e9 {
                *value = json!(format!("{float:.0}").parse::<i64>().unwrap());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn canonical_json_is_that_of_the_vectors_of_rfc_8785() {
    let mut seen = 0;
    for entry in fs::read_dir(fixtures("jcs/input")).unwrap() {
        let name = entry.unwrap().file_name();
        let mut input = read(&fixtures("jcs/input").join(&name));
        let output = fs::read(fixtures("jcs/output").join(&name)).unwrap();
        assert_eq!(serde_json_canonicalizer::to_vec(&input).unwrap(), output, "{name:?}");
        whole_numbers(&mut input);
        let output = if name == "values.json" {
            // The one file with real fractions, of which our formats have none: they are refused, and the rest is the same.
            assert!(canonical::to_vec(&input).is_err());
            input.as_object_mut().unwrap().remove("numbers").unwrap();
            let text = String::from_utf8(output).unwrap();
            let (before, rest) = text.split_once(r#""numbers":"#).unwrap();
            format!("{before}{}", rest.split_once("],").unwrap().1).into_bytes()
        } else {
            output
        };
        assert_eq!(canonical::to_vec(&input).unwrap(), output, "{name:?}");
        seen += 1;
    }
    println!("{seen} files of the public vectors of RFC 8785");
    assert_eq!(seen, 6);
}

#[test]
fn the_public_vector_of_dsse_is_signed_over_our_encoding() {
    let vector = read(&fixtures("dsse/vector.json"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let decode = |value: &Value| STANDARD.decode(text(value)).unwrap();
    let envelope = &vector["envelope"];
    let encoded =
        pre_authentication(&text(&envelope["payloadType"]), &decode(&envelope["payload"]));
    assert_eq!(String::from_utf8(encoded.clone()).unwrap(), text(&vector["pae"]));
    let number = |name: &str| hex::decode(text(&vector["key"][name])).unwrap();
    let point = [&[4][..], &number("x"), &number("y")].concat();
    let public = VerifyingKey::from_sec1_bytes(&point).unwrap();
    let raw = decode(&envelope["signatures"][0]["sig"]);
    let signature = Signature::from_slice(&raw).unwrap();
    public.verify(&encoded, &signature).unwrap();
    // The signature is deterministic (RFC 6979): signing our encoding gives the vector's own bytes.
    let made: Signature = SigningKey::from_slice(&number("d")).unwrap().sign(&encoded);
    assert_eq!(made.to_bytes().as_slice(), raw);
}

/// The envelope of a sealed record as somebody reads it who knows the specifications and nothing of ours.
fn sealed() -> (Value, Value) {
    let place = Place::new();
    place.sealed(5);
    let bytes = fs::read(place.record.join("seal.dsse.json")).unwrap();
    let envelope: Value = serde_json::from_slice(&bytes).unwrap();
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    (envelope, serde_json::from_slice(&payload).unwrap())
}

#[test]
fn our_envelope_is_one_of_the_specification_and_its_signature_is_plain_ed25519() {
    let (envelope, _) = sealed();
    let members: Vec<&str> = envelope.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["payload", "payloadType", "signatures"]);
    assert_eq!(envelope["payloadType"], PAYLOAD_TYPE);
    let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    // The encoding once more, by the letter of protocol.md.
    let mut signed = b"DSSEv1 28 application/vnd.in-toto+json ".to_vec();
    signed.extend_from_slice(payload.len().to_string().as_bytes());
    signed.push(b' ');
    signed.extend_from_slice(&payload);
    let signature = &envelope["signatures"][0];
    let raw = STANDARD.decode(signature["sig"].as_str().unwrap()).unwrap();
    // The verifier key is `<name>+<hash>+<base64 of an algorithm byte and the public key>`.
    let vkey = keys().vkey();
    let public = STANDARD.decode(vkey.splitn(3, '+').nth(2).unwrap()).unwrap();
    let public: [u8; 32] = public[1..].try_into().unwrap();
    let public = ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap();
    let raw = ed25519_dalek::Signature::from_slice(&raw).unwrap();
    public.verify_strict(&signed, &raw).unwrap();
    assert!(vkey.starts_with(signature["keyid"].as_str().unwrap()));
    // One that somebody else made over another payload type is none of ours.
    let other = fs::read(fixtures("dsse/vector.json")).unwrap();
    let other: Value = serde_json::from_slice(&other).unwrap();
    assert!(Envelope::parse(&serde_json::to_vec(&other["envelope"]).unwrap()).is_err());
}

#[test]
fn the_statement_is_one_of_in_toto_version_1() {
    let (_, statement) = sealed();
    assert_eq!(statement["_type"], STATEMENT_TYPE);
    assert_eq!(statement["predicateType"], PREDICATE_TYPE);
    assert!(statement["predicate"].is_object());
    let subjects = statement["subject"].as_array().unwrap();
    for subject in subjects {
        let digests = subject["digest"].as_object().unwrap();
        assert!(!digests.is_empty(), "each subject has a digest");
        for (algorithm, value) in digests {
            // Names and forms of spec/v1/digest_set.md.
            let digits = match algorithm.as_str() {
                "gitCommit" | "gitTree" => 40,
                "sha256" => 64,
                other => panic!("{other} is no algorithm of DigestSet"),
            };
            let value = value.as_str().unwrap();
            assert_eq!(value.len(), digits);
            assert!(value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{value}");
        }
    }
    assert!(subjects.len() >= 3, "a commit, its tree and the checkpoint");
    // spec/v1/statement.md: the names of a statement's subjects are unique.
    let names: BTreeSet<&str> = subjects.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), subjects.len(), "{names:?}");
}

/// The committed schema that calls itself `id`.
fn schema(schemas: &mut Schemas, id: &str) -> SchemaIndex {
    let file = id.rsplit('/').next().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(file);
    let mut compiler = Compiler::new();
    compiler.enable_format_assertions();
    compiler.add_resource(id, read(&path)).unwrap();
    compiler.compile(id, schemas).unwrap()
}

#[test]
fn the_published_schemas_take_what_is_sealed_and_nothing_else() {
    let mut schemas = Schemas::new();
    let (whole, predicate) =
        (schema(&mut schemas, STATEMENT_SCHEMA_ID), schema(&mut schemas, PREDICATE_SCHEMA_ID));
    let (_, statement) = sealed();
    schemas.validate(&statement, whole).unwrap_or_else(|e| panic!("{e:#}"));
    schemas.validate(&statement["predicate"], predicate).unwrap_or_else(|e| panic!("{e:#}"));
    let mut refused = 0;
    let mut refuse = |path: &str, value: Value| {
        let mut changed = statement.clone();
        match path.rsplit_once('/') {
            Some((at, name)) if changed.pointer(path).is_none() => {
                changed.pointer_mut(at).unwrap()[name] = value;
            }
            _ => *changed.pointer_mut(path).unwrap() = value,
        }
        assert!(schemas.validate(&changed, whole).is_err(), "{path} was changed");
        refused += 1;
    };
    refuse("/_type", json!("https://in-toto.io/Statement/v0.1"));
    refuse("/predicateType", json!("https://slsa.dev/provenance/v1"));
    refuse("/subject", json!([]));
    refuse("/subject/0/digest", json!({}));
    refuse("/subject/0/digest/gitCommit", json!("HEAD"));
    refuse("/predicate/outcome", json!("perfect"));
    refuse("/predicate/log/size", json!(-1));
    refuse("/predicate/log/root", json!("sha1:00"));
    refuse("/predicate/session", json!(7));
    refuse("/predicate/unknown", json!(1));
    refuse("/unknown", json!(1));
    for required in ["session", "policy", "log", "outcome", "coverage", "closed"] {
        let mut changed = statement["predicate"].clone();
        changed.as_object_mut().unwrap().remove(required).unwrap();
        assert!(schemas.validate(&changed, predicate).is_err(), "{required} was removed");
        refused += 1;
    }
    println!("the schemas refuse {refused} changed statements");
}
