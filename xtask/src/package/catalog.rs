//! The security catalog of a driver package, as `Inf2Cat` makes it of version 2 and before it is
//! signed: a PKCS #7 `SignedData` without signers around a certificate trust list, which lists the
//! package's files by their hashes.
//!
//! No kept tool makes one off Windows (`LINBIT/generate-cat-file` makes version 1, SHA-1 alone). The
//! fields are those of `CTL_INFO` in wincrypt.h and of `SpcIndirectDataContent` in the Authenticode
//! specification. What `Inf2Cat` puts into them was read from a catalog that it had made. Each file is
//! listed twice, by its SHA-256 with the data that a signature of the file alone would hold, and by
//! its SHA-1 for those who look it up by that.

mod hash;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use der::{
    Any, Choice, Decode as _, Encode as _, Sequence, Tag, TagNumber,
    asn1::{BitString, BmpString, Null, ObjectIdentifier, OctetString, SetOfVec, UtcTime},
};
use x509_cert::{attr::Attribute, ext::Extension, spki::AlgorithmIdentifierOwned};

pub use hash::Hashes;

const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");
const SHA_256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
/// `szOID_CTL`.
const TRUST_LIST: ObjectIdentifier = oid("1.3.6.1.4.1.311.10.1");
/// `szOID_CATALOG_LIST`.
const CATALOG_LIST: ObjectIdentifier = oid("1.3.6.1.4.1.311.12.1.1");
/// `szOID_CATALOG_LIST_MEMBER2`.
const CATALOG_LIST_MEMBER: ObjectIdentifier = oid("1.3.6.1.4.1.311.12.1.3");
/// `CAT_NAMEVALUE_OBJID`.
const NAME_VALUE: ObjectIdentifier = oid("1.3.6.1.4.1.311.12.2.1");
/// `CAT_MEMBERINFO2_OBJID`.
const MEMBER_INFO: ObjectIdentifier = oid("1.3.6.1.4.1.311.12.2.3");
/// `SPC_INDIRECT_DATA_OBJID`.
const INDIRECT_DATA: ObjectIdentifier = oid("1.3.6.1.4.1.311.2.1.4");
/// `SPC_PE_IMAGE_DATA_OBJID`.
const PE_IMAGE_DATA: ObjectIdentifier = oid("1.3.6.1.4.1.311.2.1.15");
/// `SPC_CAB_DATA_OBJID`, which stands for any file that is hashed whole.
const FLAT_DATA: ObjectIdentifier = oid("1.3.6.1.4.1.311.2.1.25");

/// `CRYPTCAT_ATTR_AUTHENTICATED | CRYPTCAT_ATTR_DATAASCII | CRYPTCAT_ATTR_NAMEASCII`.
const TEXT: u32 = 0x1001_0001;
/// The operating systems that a file is for: of the NT platform (2), version 10.0.
const OS_ATTRIBUTE: &str = "2:10.0";

/// How a file is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PE image, without what a signature changes.
    Image,
    /// Any other file, whole.
    Flat,
}

/// A file of the package.
#[derive(Debug)]
pub struct Member {
    /// Its name, in lower case.
    pub name: String,
    /// How it was hashed.
    pub kind: Kind,
    /// Its hashes.
    pub hashes: Hashes,
}

/// What a catalog says.
#[derive(Debug)]
pub struct Catalog {
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// The operating system, as `Inf2Cat` spells it: `_v100_X64`.
    pub os: &'static str,
    /// The hardware ids of the INF, in lower case.
    pub hardware_ids: Vec<String>,
    /// The files.
    pub members: Vec<Member>,
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// `ContentInfo` of PKCS #7.
#[derive(Debug, Sequence)]
struct ContentInfo {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: Any,
}

/// `SignedData` of PKCS #7, as long as nobody has signed it.
#[derive(Debug, Sequence)]
struct Unsigned {
    version: u8,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    content: ContentInfo,
    signer_infos: SetOfVec<Any>,
}

/// `CTL_INFO`.
#[derive(Debug, Sequence)]
struct TrustList {
    usage: Vec<ObjectIdentifier>,
    identifier: OctetString,
    made: UtcTime,
    subject_algorithm: AlgorithmIdentifierOwned,
    subjects: Vec<Subject>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

/// `CTL_ENTRY`.
#[derive(Debug, Sequence)]
struct Subject {
    hash: OctetString,
    attributes: SetOfVec<Attribute>,
}

/// `CAT_NAMEVALUE`.
#[derive(Debug, Sequence)]
struct NameValue {
    name: BmpString,
    flags: u32,
    value: OctetString,
}

/// `SpcIndirectDataContent`.
#[derive(Debug, Sequence)]
struct IndirectData {
    data: AttributeTypeAndValue,
    digest: DigestInfo,
}

/// `SpcAttributeTypeAndOptionalValue`.
#[derive(Debug, Sequence)]
struct AttributeTypeAndValue {
    kind: ObjectIdentifier,
    value: Any,
}

/// `DigestInfo` of PKCS #7.
#[derive(Debug, Sequence)]
struct DigestInfo {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// `SpcPeImageData`.
#[derive(Debug, Sequence)]
struct PeImageData {
    flags: BitString,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    file: Link,
}

/// `SpcLink`, of which one kind is in use.
#[derive(Debug, Choice)]
enum Link {
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", constructed = "true")]
    File(Text),
}

/// `SpcString`, of which one kind is in use.
#[derive(Debug, Choice)]
enum Text {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Unicode(BmpString),
}

impl Catalog {
    /// The catalog, in DER, to be signed.
    pub fn to_der(&self) -> Result<Vec<u8>> {
        self.unsigned()
            .context("a part of the catalog cannot be encoded")
    }

    fn unsigned(&self) -> der::Result<Vec<u8>> {
        let list = Unsigned {
            version: 1,
            digest_algorithms: SetOfVec::new(),
            content: ContentInfo {
                content_type: TRUST_LIST,
                content: Any::encode_from(&self.trust_list()?)?,
            },
            signer_infos: SetOfVec::new(),
        };
        ContentInfo {
            content_type: SIGNED_DATA,
            content: Any::encode_from(&list)?,
        }
        .to_der()
    }

    fn trust_list(&self) -> der::Result<TrustList> {
        let mut subjects = Vec::new();
        for member in &self.members {
            subjects.push(member.by_sha256()?);
            subjects.push(member.by_sha1()?);
        }
        subjects.sort_by(|one, other| one.hash.as_bytes().cmp(other.hash.as_bytes()));

        let mut extensions = vec![catalog_attribute("OS", self.os)?];
        for (number, id) in (1..).zip(&self.hardware_ids) {
            extensions.push(catalog_attribute(&format!("HWID{number}"), id)?);
        }
        Ok(TrustList {
            usage: vec![CATALOG_LIST],
            identifier: OctetString::new(self.identifier())?,
            made: UtcTime::from_unix_duration(std::time::Duration::from_secs(self.made))?,
            subject_algorithm: algorithm(CATALOG_LIST_MEMBER),
            subjects,
            extensions,
        })
    }

    /// Names the catalog. Any number that no other has will do; this one is the same whenever the
    /// files are.
    fn identifier(&self) -> Vec<u8> {
        let listed: Vec<u8> = self
            .members
            .iter()
            .flat_map(|member| member.hashes.sha256)
            .collect();
        Hashes::of(&listed).sha256[..16].to_vec()
    }
}

impl Member {
    fn by_sha256(&self) -> der::Result<Subject> {
        let mut attributes = self.described()?;
        attributes.insert(attribute(INDIRECT_DATA, &self.indirect_data()?)?)?;
        Ok(Subject {
            hash: OctetString::new(self.hashes.sha256)?,
            attributes,
        })
    }

    fn by_sha1(&self) -> der::Result<Subject> {
        Ok(Subject {
            hash: OctetString::new(self.hashes.sha1)?,
            attributes: self.described()?,
        })
    }

    fn described(&self) -> der::Result<SetOfVec<Attribute>> {
        let mut attributes = SetOfVec::new();
        attributes.insert(attribute(MEMBER_INFO, &self.member_info()?)?)?;
        for (name, value) in [("OSAttr", OS_ATTRIBUTE), ("File", &self.name)] {
            attributes.insert(attribute(NAME_VALUE, &name_value(name, value)?)?)?;
        }
        Ok(attributes)
    }

    /// `CAT_MEMBERINFO2`: says by the number of an empty field which subject interface package
    /// hashed the file.
    fn member_info(&self) -> der::Result<Any> {
        let number = match self.kind {
            Kind::Image => TagNumber(0),
            Kind::Flat => TagNumber(2),
        };
        let tag = Tag::ContextSpecific {
            constructed: false,
            number,
        };
        Any::new(tag, [])
    }

    fn indirect_data(&self) -> der::Result<IndirectData> {
        let file = Link::File(Text::Unicode(BmpString::from_utf8("")?));
        let data = match self.kind {
            Kind::Image => AttributeTypeAndValue {
                kind: PE_IMAGE_DATA,
                value: Any::encode_from(&PeImageData {
                    // includeResources (bit 0) and includeImportAddressTable (bit 2).
                    flags: BitString::new(5, [0b1010_0000])?,
                    file,
                })?,
            },
            Kind::Flat => AttributeTypeAndValue {
                kind: FLAT_DATA,
                value: Any::from_der(&file.to_der()?)?,
            },
        };
        Ok(IndirectData {
            data,
            digest: DigestInfo {
                algorithm: algorithm(SHA_256),
                digest: OctetString::new(self.hashes.sha256)?,
            },
        })
    }
}

fn attribute<T: der::EncodeValue + der::Tagged>(
    oid: ObjectIdentifier,
    value: &T,
) -> der::Result<Attribute> {
    let mut values = SetOfVec::new();
    values.insert(Any::encode_from(value)?)?;
    Ok(Attribute { oid, values })
}

fn catalog_attribute(name: &str, value: &str) -> der::Result<Extension> {
    Ok(Extension {
        extn_id: NAME_VALUE,
        critical: false,
        extn_value: OctetString::new(name_value(name, value)?.to_der()?)?,
    })
}

/// The value is UTF-16 in the order of an x64, with a zero at its end; the name is not.
fn name_value(name: &str, value: &str) -> der::Result<NameValue> {
    let value: Vec<u8> = value
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    Ok(NameValue {
        name: BmpString::from_utf8(name)?,
        flags: TEXT,
        value: OctetString::new(value)?,
    })
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: Some(Null.into()),
    }
}
