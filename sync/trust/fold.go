package trust

import "strings"

// Case is folded for the letters A to Z alone. Unicode folds further letters into
// them (U+212A into k, U+017F into s, U+0130 into i), and a document that spells a
// key or an action with one of those names another, which no request carries: the
// guide says that case does not matter, and of no other letters.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html

// lower folds A to Z.
func lower(s string) string {
	for i := range len(s) {
		if isUpper(s[i]) {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lowerByte(b[i])
			}
			return string(b)
		}
	}
	return s
}

// equalFold compares but for the case of A to Z.
func equalFold[A, B text](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

// sameButCase is StringEqualsIgnoreCase. Whether AWS folds letters beyond A to Z
// there is written nowhere: where the answer hangs on it, it is maybe.
func sameButCase[A, B text](a A, b B) tri {
	switch {
	case equalFold(a, b):
		return yes
	case strings.EqualFold(string(a), string(b)):
		return maybe
	}
	return no
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func lowerByte(c byte) byte {
	if isUpper(c) {
		c |= 0x20
	}
	return c
}
