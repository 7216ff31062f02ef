//! CRC-32 (IEEE) of a row's fields: finds every changed byte. It guards against decay, not against people.

const TABLE: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut index = 0_u32;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
};

/// Over all fields, each with its length, so that `("ab", "c")` and `("a", "bc")` differ.
pub(crate) fn checksum(fields: &[&str]) -> i64 {
    let mut sum = u32::MAX;
    let mut eat = |byte: u8| sum = (sum >> 8) ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)];
    for field in fields {
        field.len().to_le_bytes().into_iter().for_each(&mut eat);
        field.bytes().for_each(&mut eat);
    }
    i64::from(!sum)
}

#[cfg(test)]
mod tests {
    use super::checksum;

    #[test]
    fn borders_of_fields_and_every_letter_count() {
        assert_ne!(checksum(&["ab", "c"]), checksum(&["a", "bc"]));
        assert_ne!(checksum(&["lab07"]), checksum(&["lab06"]));
        assert_eq!(checksum(&["lab07", "asleep"]), checksum(&["lab07", "asleep"]));
    }
}
