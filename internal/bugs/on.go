//go:build bugs

package bugs

// Name names the deliberate bug in force; empty means none.
var Name string

// On reports whether a deliberate bug is in force.
func On(name string) bool { return Name == name }
