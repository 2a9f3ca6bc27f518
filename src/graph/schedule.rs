//! The order in which a program does what a graph says.
//!
//! What an output needs is done when it is needed, and what uses a value for the last time as soon as it can be: few values wait
//! at the same time, so that all stay in the first-level cache.

use super::{Graph, Id};

/// Nodes that one instruction computes, and the nodes that it needs.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) nodes: Vec<Id>,
    pub(super) needs: Vec<Id>,
}

struct Schedule {
    /// For each part the parts that it needs, and those that need it.
    needs: Vec<Vec<usize>>,
    users: Vec<Vec<usize>>,
    /// How many of either are still to be done; an output has a user more.
    open_needs: Vec<usize>,
    open_users: Vec<usize>,
    /// Nodes of each part.
    sizes: Vec<usize>,
    done: Vec<bool>,
    order: Vec<usize>,
}

/// The nodes of `parts`, which are all that the outputs need, each part after those that it needs.
pub(super) fn order(graph: &Graph, parts: Vec<Part>) -> Vec<Vec<Id>> {
    let mut part_of = vec![usize::MAX; graph.nodes.len()];
    for (place, part) in parts.iter().enumerate() {
        for &node in &part.nodes {
            part_of[node as usize] = place;
        }
    }
    let outputs = graph.outputs.iter().map(|&output| part_of[output as usize]);
    let outputs: Vec<usize> = outputs.filter(|&part| part != usize::MAX).collect();
    let needs: Vec<Vec<usize>> = parts
        .iter()
        .map(|part| {
            let mut seen: Vec<usize> = Vec::new();
            let needs = part.needs.iter().map(|&need| part_of[need as usize]);
            seen.extend(needs.filter(|&need| need != usize::MAX));
            let mut sorted: Vec<(usize, usize)> =
                seen.iter().enumerate().map(|(at, &need)| (need, at)).collect();
            sorted.sort_unstable();
            sorted.dedup_by_key(|(need, _)| *need);
            sorted.sort_unstable_by_key(|(_, at)| *at);
            sorted.into_iter().map(|(need, _)| need).collect()
        })
        .collect();
    let mut users = vec![Vec::new(); parts.len()];
    for (part, needs) in needs.iter().enumerate() {
        for &need in needs {
            users[need].push(part);
        }
    }
    let mut open_users: Vec<usize> = users.iter().map(Vec::len).collect();
    for &output in &outputs {
        open_users[output] += 1;
    }
    let mut schedule = Schedule {
        open_needs: needs.iter().map(Vec::len).collect(),
        open_users,
        needs,
        users,
        sizes: parts.iter().map(|part| part.nodes.len()).collect(),
        done: vec![false; parts.len()],
        order: Vec::with_capacity(parts.len()),
    };
    outputs.into_iter().for_each(|output| schedule.demand(output));
    let mut nodes: Vec<Vec<Id>> = parts.into_iter().map(|part| part.nodes).collect();
    schedule.order.into_iter().map(|part| std::mem::take(&mut nodes[part])).collect()
}

impl Schedule {
    /// Does `part` after what it needs.
    fn demand(&mut self, part: usize) {
        // With the place of the need that is looked at next.
        let mut stack = vec![(part, 0)];
        while let Some((part, at)) = stack.pop() {
            if self.done[part] {
                continue;
            }
            match self.needs[part].get(at) {
                Some(&need) => {
                    stack.push((part, at + 1));
                    stack.push((need, 0));
                }
                None => self.perform(part),
            }
        }
    }

    /// Does `part`, and then what makes room.
    fn perform(&mut self, part: usize) {
        let mut ready = vec![part];
        while let Some(part) = ready.pop() {
            if std::mem::replace(&mut self.done[part], true) {
                continue;
            }
            self.order.push(part);
            for &user in &self.users[part] {
                self.open_needs[user] -= 1;
            }
            for place in 0..self.needs[part].len() {
                self.open_users[self.needs[part][place]] -= 1;
            }
            let around = self.needs[part].iter().copied().chain([part]);
            for value in around.filter(|&value| self.open_users[value] == 1) {
                let user = self.users[value].iter().copied().find(|&user| !self.done[user]);
                if let Some(user) = user
                    && self.open_needs[user] == 0
                    && self.frees(user) >= self.sizes[user]
                {
                    ready.push(user);
                }
            }
        }
    }

    /// How many values nothing needs after `part`.
    fn frees(&self, part: usize) -> usize {
        let last = self.needs[part].iter().filter(|&&need| self.open_users[need] == 1);
        last.map(|&need| self.sizes[need]).sum()
    }
}
