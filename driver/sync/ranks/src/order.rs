//! From the declared order to the whole of it.

use syn::{Error, Ident, Result};

use crate::declaration::Rank;

/// For each rank, the ranks that it is after, directly or by others: indices, in order.
///
/// An error is a name that is declared twice or not at all, or a cycle.
pub fn close(ranks: &[Rank]) -> Result<Vec<Vec<usize>>> {
    let mut order = Order {
        ranks,
        direct: direct(ranks)?,
        closed: vec![None; ranks.len()],
    };
    (0..ranks.len())
        .map(|index| order.close(index, &mut Vec::new()))
        .collect()
}

fn direct(ranks: &[Rank]) -> Result<Vec<Vec<usize>>> {
    for (index, rank) in ranks.iter().enumerate() {
        if ranks[..index].iter().any(|other| other.name == rank.name) {
            let message = format!("the rank `{}` is declared twice", rank.name);
            return Err(Error::new(rank.name.span(), message));
        }
    }
    let find = |name: &Ident| {
        let found = ranks.iter().position(|rank| rank.name == *name);
        found.ok_or_else(|| Error::new(name.span(), format!("no rank `{name}` is declared here")))
    };
    let of = |rank: &Rank| rank.after.iter().map(find).collect();
    ranks.iter().map(of).collect()
}

struct Order<'a> {
    ranks: &'a [Rank],
    direct: Vec<Vec<usize>>,
    closed: Vec<Option<Vec<usize>>>,
}

impl Order<'_> {
    /// What the rank `index` is after; `path` leads to it.
    fn close(&mut self, index: usize, path: &mut Vec<usize>) -> Result<Vec<usize>> {
        if let Some(before) = &self.closed[index] {
            return Ok(before.clone());
        }
        if let Some(start) = path.iter().position(|&on_path| on_path == index) {
            return Err(self.cycle(&path[start..]));
        }
        path.push(index);
        let mut before = Vec::new();
        for direct in self.direct[index].clone() {
            before.push(direct);
            before.extend(self.close(direct, path)?);
        }
        path.pop();
        before.sort_unstable();
        before.dedup();
        self.closed[index] = Some(before.clone());
        Ok(before)
    }

    fn cycle(&self, path: &[usize]) -> Error {
        let around = path.iter().chain(&path[..1]);
        let names: Vec<_> = around
            .map(|&index| format!("`{}`", self.ranks[index].name))
            .collect();
        let message = format!(
            "the order of the ranks has a cycle: {}",
            names.join(" after ")
        );
        Error::new(self.ranks[path[0]].name.span(), message)
    }
}

#[cfg(test)]
mod tests {
    use super::close;
    use crate::declaration::Declarations;

    fn order(ranks: &str) -> Result<Vec<Vec<usize>>, String> {
        let declarations: Declarations = syn::parse_str(&format!("wdk_sync; {ranks}")).unwrap();
        close(&declarations.ranks).map_err(|error| error.to_string())
    }

    #[test]
    fn two_ways_to_a_rank_are_one() {
        let diamond = "A; B after A; C after A; D after B, C;";
        let expected = vec![vec![], vec![0], vec![0], vec![0, 1, 2]];
        assert_eq!(order(diamond), Ok(expected));
    }

    #[test]
    fn a_rank_may_be_declared_before_what_it_is_after() {
        assert_eq!(
            order("C after B; B after A; A;"),
            Ok(vec![vec![1, 2], vec![2], vec![]])
        );
    }

    #[test]
    fn a_cycle_is_named() {
        assert_eq!(
            order("A after C; B after A; C after B;").unwrap_err(),
            "the order of the ranks has a cycle: `A` after `C` after `B` after `A`"
        );
        assert!(order("A after A;").is_err());
    }

    #[test]
    fn a_rank_is_declared_once() {
        assert_eq!(
            order("A; A;").unwrap_err(),
            "the rank `A` is declared twice"
        );
        assert_eq!(
            order("A after B;").unwrap_err(),
            "no rank `B` is declared here"
        );
    }
}
