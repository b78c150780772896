//go:build !bugs

package bugs

// On reports whether a deliberate bug is in force. In a build for use none is: the
// compiler leaves them out.
func On(string) bool { return false }
