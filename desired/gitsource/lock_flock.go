//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package gitsource

import (
	"os"
	"syscall"
)

const canLock = true

// tryLock locks a file until it is closed, or its process ends, however it ends.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
