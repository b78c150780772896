package trust

// Patterns are kept as bytes in which two values that never occur in UTF-8 stand
// for the wildcards, so that a literal asterisk (an escape, or a character that
// came out of a policy variable) cannot be taken for one.
const (
	anyRun  = 0xFF // "*": any characters, or none
	anyRune = 0xFE // "?": exactly one character
)

type text interface{ ~string | ~[]byte }

// like reports whether pattern matches the whole of s. It cuts the pattern at its
// stars and takes each piece at its first place: earlier is never worse, so
// nothing is tried twice and no number of stars takes long.
//
// Wildcards: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_String
func like[P, S text](pattern P, s S) bool {
	star := indexRun(pattern)
	if star < 0 {
		n, ok := prefix(pattern, s)
		return ok && n == len(s)
	}
	n, ok := prefix(pattern[:star], s)
	if !ok {
		return false
	}
	s, pattern = s[n:], pattern[star+1:]
	for {
		star = indexRun(pattern)
		if star < 0 {
			return suffix(pattern, s)
		}
		piece := pattern[:star]
		pattern = pattern[star+1:]
		if len(piece) == 0 {
			continue
		}
		at := 0
		for {
			if at+len(piece) > len(s) {
				return false
			}
			if n, ok := prefix(piece, s[at:]); ok {
				s = s[at+n:]
				break
			}
			at++
		}
	}
}

func indexRun[P text](pattern P) int {
	for i := range len(pattern) {
		if pattern[i] == anyRun {
			return i
		}
	}
	return -1
}

// prefix matches a piece without stars at the head of s and returns how much of s
// it took.
func prefix[P, S text](piece P, s S) (int, bool) {
	at := 0
	for i := range len(piece) {
		if at >= len(s) {
			return 0, false
		}
		switch piece[i] {
		case anyRune:
			for at++; at < len(s) && s[at]&0xC0 == 0x80; at++ {
			}
		case s[at]:
			at++
		default:
			return 0, false
		}
	}
	return at, true
}

// suffix matches a piece without stars at the tail of s.
func suffix[P, S text](piece P, s S) bool {
	at := len(s)
	for i := len(piece) - 1; i >= 0; i-- {
		if at == 0 {
			return false
		}
		at--
		switch piece[i] {
		case anyRune:
			for at > 0 && s[at]&0xC0 == 0x80 {
				at--
			}
		case s[at]:
		default:
			return false
		}
	}
	return true
}

// likeARN compares part by part: the first five colons part both sides, and a
// wildcard stays within its part. A value that is not an ARN matches nothing.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_ARN
func likeARN[P, S text](pattern P, s S) bool {
	for range 5 {
		i, j := indexColon(pattern), indexColon(s)
		if i < 0 || j < 0 || !like(pattern[:i], s[:j]) {
			return false
		}
		pattern, s = pattern[i+1:], s[j+1:]
	}
	return like(pattern, s)
}

// sixParts reports whether an ARN pattern has the six parts of an ARN.
func sixParts[P text](pattern P) bool {
	for range 5 {
		i := indexColon(pattern)
		if i < 0 {
			return false
		}
		pattern = pattern[i+1:]
	}
	return true
}

func indexColon[T text](s T) int {
	for i := range len(s) {
		if s[i] == ':' {
			return i
		}
	}
	return -1
}

// compileGlob turns a written pattern into its bytes.
func compileGlob(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch c {
		case '*':
			b[i] = anyRun
		case '?':
			b[i] = anyRune
		}
	}
	return string(b)
}
