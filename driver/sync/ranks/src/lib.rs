//! The macro behind `wdk_sync::lock_ranks!`, where it is documented.
//!
//! What a macro by example cannot do is follow the order: from the ranks that a rank is declared to be
//! after, to those that these are after, and so on. Each pair that it finds becomes one
//! implementation of `Before`, so two ways from one rank to another are no conflict, as they would be
//! with implementations for whatever comes before something.

mod declaration;
mod order;

use proc_macro::TokenStream;
use quote::quote;
use syn::parse_macro_input;

use declaration::Declarations;

/// Expands `lock_ranks!`; the path of `wdk_sync` comes before the ranks.
#[proc_macro]
pub fn declare(input: TokenStream) -> TokenStream {
    let declarations = parse_macro_input!(input as Declarations);
    match order::close(&declarations.ranks) {
        Ok(order) => expand(&declarations, &order).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

fn expand(declarations: &Declarations, order: &[Vec<usize>]) -> proc_macro2::TokenStream {
    let wdk_sync = &declarations.wdk_sync;
    let ranks = declarations.ranks.iter().zip(order).map(|(rank, before)| {
        let (attributes, visibility, name) = (&rank.attributes, &rank.visibility, &rank.name);
        let before = before.iter().map(|&index| &declarations.ranks[index].name);
        quote! {
            #(#attributes)*
            #[derive(Debug)]
            #visibility enum #name {}

            impl #wdk_sync::Rank for #name {
                type Over<L: #wdk_sync::Level> = #wdk_sync::Holding<L::Base, Self>;
            }

            impl #wdk_sync::Before<#wdk_sync::Unranked> for #name {}
            #(impl #wdk_sync::Before<#name> for #before {})*
        }
    });
    quote!(#(#ranks)*)
}
