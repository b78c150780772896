package desired

// glob reports whether name matches pattern, in which * stands for any
// characters, slashes and colons included, and ? for one. There are no escapes
// and no classes: none of the names matched here can contain either. It takes
// time in proportion to the product of the lengths at worst.
func glob(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0 // the last * and where in name it was tried
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// anyGlob reports whether one of the patterns matches.
func anyGlob(patterns []string, name string) bool {
	for _, p := range patterns {
		if glob(p, name) {
			return true
		}
	}
	return false
}
