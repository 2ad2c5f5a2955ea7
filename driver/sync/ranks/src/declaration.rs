//! What is written between the braces of `lock_ranks!`.

use syn::{
    Attribute, Ident, Path, Token, Visibility,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

mod keyword {
    syn::custom_keyword!(after);
}

/// The path of `wdk_sync`, a semicolon, and any number of ranks.
pub struct Declarations {
    pub wdk_sync: Path,
    pub ranks: Vec<Rank>,
}

/// `pub Journal after Entry, Log;`
pub struct Rank {
    pub attributes: Vec<Attribute>,
    pub visibility: Visibility,
    pub name: Ident,
    pub after: Punctuated<Ident, Token![,]>,
}

impl Parse for Declarations {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let wdk_sync = input.parse()?;
        input.parse::<Token![;]>()?;
        let mut ranks = Vec::new();
        while !input.is_empty() {
            ranks.push(input.parse()?);
        }
        Ok(Self { wdk_sync, ranks })
    }
}

impl Parse for Rank {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let name = input.parse()?;
        let after = if input.peek(keyword::after) {
            input.parse::<keyword::after>()?;
            Punctuated::parse_separated_nonempty(input)?
        } else {
            Punctuated::new()
        };
        input.parse::<Token![;]>()?;
        Ok(Self {
            attributes,
            visibility,
            name,
            after,
        })
    }
}
