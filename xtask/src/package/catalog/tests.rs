//! A catalog, read back field by field.

use der::{Decode as _, Encode as _, asn1::UtcTime};

use super::{
    CATALOG_LIST, Catalog, ContentInfo, FLAT_DATA, Hashes, INDIRECT_DATA, IndirectData, Kind,
    MEMBER_INFO, Member, NAME_VALUE, NameValue, PE_IMAGE_DATA, SIGNED_DATA, Subject, TRUST_LIST,
    TrustList, Unsigned,
};

fn sample() -> Catalog {
    let member = |name: &str, kind, data: &[u8]| Member {
        name: name.into(),
        kind,
        hashes: Hashes::of(data),
    };
    Catalog {
        made: 1_700_000_000,
        os: "_v100_X64",
        hardware_ids: vec![r"root\one".into(), r"root\two".into()],
        members: vec![
            member("driver.sys", Kind::Image, b"image"),
            member("driver.inf", Kind::Flat, b"text"),
        ],
    }
}

fn list(catalog: &Catalog) -> TrustList {
    let bytes = catalog.to_der().expect("it can be encoded");
    let outer = ContentInfo::from_der(&bytes).expect("a ContentInfo");
    assert_eq!(outer.content_type, SIGNED_DATA);
    let unsigned: Unsigned = outer.content.decode_as().expect("a SignedData");
    assert_eq!(unsigned.version, 1);
    assert!(unsigned.digest_algorithms.is_empty() && unsigned.signer_infos.is_empty());
    assert_eq!(unsigned.content.content_type, TRUST_LIST);
    unsigned.content.content.decode_as().expect("a trust list")
}

fn text(value: &NameValue) -> (String, String) {
    let units: Vec<_> = value.value.as_bytes().chunks(2).collect();
    let units = units
        .iter()
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let value_text: String = char::decode_utf16(units)
        .map(|unit| unit.expect("UTF-16"))
        .collect();
    assert_eq!(value.flags, 0x1001_0001);
    (value.name.to_string(), value_text)
}

#[test]
fn the_list_says_when_and_for_which_system_and_hardware() {
    let list = list(&sample());
    assert_eq!(list.usage, [CATALOG_LIST]);
    assert_eq!(list.identifier.as_bytes().len(), 16);
    let made = UtcTime::from_unix_duration(std::time::Duration::from_secs(1_700_000_000));
    assert_eq!(list.made, made.expect("a time"));
    let extensions: Vec<_> = list
        .extensions
        .iter()
        .map(|extension| {
            assert_eq!(extension.extn_id, NAME_VALUE);
            let bytes = extension.extn_value.as_bytes();
            text(&NameValue::from_der(bytes).expect("a name and its value"))
        })
        .collect();
    let expected = [
        ("OS", "_v100_X64\0"),
        ("HWID1", "root\\one\0"),
        ("HWID2", "root\\two\0"),
    ];
    assert_eq!(
        extensions,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

fn subject<'a>(list: &'a TrustList, hash: &[u8]) -> &'a Subject {
    let mut found = list
        .subjects
        .iter()
        .filter(|subject| subject.hash.as_bytes() == hash);
    let subject = found.next().expect("the hash is listed");
    assert!(found.next().is_none(), "it is listed once");
    subject
}

fn named(subject: &Subject) -> Vec<(String, String)> {
    let attributes = subject.attributes.iter();
    attributes
        .filter(|attribute| attribute.oid == NAME_VALUE)
        .map(|attribute| {
            let value = attribute.values.get(0).expect("one value");
            text(&value.decode_as().expect("a name and its value"))
        })
        .collect()
}

#[test]
fn each_file_is_listed_by_both_hashes() {
    let catalog = sample();
    let list = list(&catalog);
    assert_eq!(list.subjects.len(), 4);
    for member in &catalog.members {
        for hash in [&member.hashes.sha1[..], &member.hashes.sha256[..]] {
            assert_eq!(
                named(subject(&list, hash)),
                [
                    ("OSAttr".to_owned(), "2:10.0\0".to_owned()),
                    ("File".to_owned(), format!("{}\0", member.name)),
                ]
            );
        }
    }
    let hashes: Vec<_> = list.subjects.iter().map(|it| it.hash.as_bytes()).collect();
    assert!(hashes.is_sorted(), "in the order of the hashes");
}

#[test]
fn an_image_and_another_file_are_told_apart() {
    let catalog = sample();
    let list = list(&catalog);
    for (member, tag, data) in [
        (&catalog.members[0], 0x80, PE_IMAGE_DATA),
        (&catalog.members[1], 0x82, FLAT_DATA),
    ] {
        let subject = subject(&list, &member.hashes.sha256);
        let value = |oid| {
            let found = subject.attributes.iter().find(|it| it.oid == oid);
            found
                .expect("the attribute")
                .values
                .get(0)
                .expect("a value")
        };
        let info = value(MEMBER_INFO).to_der().expect("a value");
        assert_eq!(info, [tag, 0]);
        let indirect: IndirectData = value(INDIRECT_DATA).decode_as().expect("its data");
        assert_eq!(indirect.data.kind, data);
        assert_eq!(indirect.digest.digest.as_bytes(), member.hashes.sha256);
    }
}

#[test]
fn another_file_makes_another_catalog() {
    let mut other = sample();
    other.members[1].hashes = Hashes::of(b"text, changed");
    let [one, two] = [sample(), other].map(|catalog| list(&catalog).identifier);
    assert_ne!(one.as_bytes(), two.as_bytes());
}

#[test]
fn the_same_files_make_the_same_catalog() {
    let [one, two] = [sample(), sample()].map(|it| it.to_der().expect("it can be encoded"));
    assert_eq!(one, two);
}
