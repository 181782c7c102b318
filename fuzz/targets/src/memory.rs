//! Page runs, against a model that goes byte by byte.

use dormouse::fuzzing::{Run, changed, fill, stored};

const PAGE: usize = 4096;

/// The input: pages of the memory, runs of nine bytes each, then their bytes, each of which stands for
/// 512 of them.
pub fn run(data: &[u8]) {
    let Some((&[pages, count], mut rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let size = usize::from(pages % 24) * PAGE;
    let mut runs = Vec::new();
    for _ in 0..count % 16 {
        let Some((run, others)) = rest.split_first_chunk::<9>() else {
            break;
        };
        rest = others;
        let number = |at: usize| {
            let low = u32::from(u16::from_le_bytes([run[at], run[at + 1]]));
            // Mostly small numbers; what is left over makes them large.
            match run[at + 3] {
                0xff => low | 0xffff_0000,
                0xf0..0xff => low << 8,
                _ => low % 32,
            }
        };
        runs.push(Run {
            first: number(0),
            count: number(4),
            zero: run[8] & 1 == 1,
        });
    }
    let bytes: Vec<u8> = rest.iter().flat_map(|byte| [*byte; 512]).collect();

    let mut memory: Vec<u8> = (0..size).map(|place| (place / 7) as u8).collect();
    let before = memory.clone();
    let expected = model(&runs, &bytes, &before);
    let mut left = bytes.as_slice();
    match (fill(&runs, &mut left, &mut memory), expected) {
        (Ok(()), Some((expected, rest))) => {
            assert!(memory == expected, "another memory");
            assert_eq!(left.len(), rest);
        }
        (Err(_), None) => return,
        (Ok(()), None) => panic!("runs that do not fit were taken: {runs:?}"),
        (Err(error), Some(_)) => panic!("runs that fit were refused: {error}: {runs:?}"),
    }

    // What was applied is found again, from any fresh instance.
    let segments = [
        (PAGE / 2, &before[..size / 3]),
        (size / 5, &bytes[..bytes.len().min(99)]),
    ];
    let fits = segments
        .iter()
        .filter(|(at, bytes)| at + bytes.len() <= size);
    let runs = changed(&memory, fits.clone().copied());
    let pages: Vec<u8> = stored(&runs, &memory).flatten().copied().collect();
    let mut fresh = vec![0; size];
    for (at, bytes) in fits {
        fresh[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    let mut left = pages.as_slice();
    fill(&runs, &mut left, &mut fresh).expect("own pages fit");
    assert!(left.is_empty() && fresh == memory, "pages got lost");
}

/// The memory afterwards and how many bytes are left over.
fn model(runs: &[Run], bytes: &[u8], memory: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut memory = memory.to_vec();
    let mut next = 0;
    for run in runs {
        let start = u64::from(run.first) * PAGE as u64;
        let end = start + u64::from(run.count) * PAGE as u64;
        if end > memory.len() as u64 {
            return None;
        }
        if !run.zero && bytes.len() - next < (end - start) as usize {
            return None;
        }
        for byte in &mut memory[start as usize..end as usize] {
            *byte = 0;
            if !run.zero {
                *byte = bytes[next];
                next += 1;
            }
        }
    }
    Some((memory, bytes.len() - next))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let run = |first: u8, count: u8, zero: u8| [first, 0, 0, 0, count, 0, 0, 0, zero];
    let mut seed = vec![8, 2];
    seed.extend(run(1, 2, 0));
    seed.extend(run(5, 1, 1));
    seed.extend([7; 16]);
    vec![
        seed,
        vec![0, 0],
        [vec![1, 1], run(0, 1, 0).to_vec()].concat(),
    ]
}
