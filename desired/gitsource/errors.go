package gitsource

import (
	"errors"
	"slices"
	"strings"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// What went wrong, for [errors.Is]. Each error that is returned also has a
// remedy.Class, and a text that says what to do next.
var (
	// ErrURL is a URL that this package cannot or will not read.
	ErrURL = errors.New("unusable repository URL")
	// ErrNoRepository means that there is no repository, or none that the token
	// may see: hosts answer both alike.
	ErrNoRepository = errors.New("no such repository")
	// ErrUnsupported is a repository in a format that go-git cannot read.
	ErrUnsupported = errors.New("unsupported repository format")
	// ErrEmpty is a repository without a commit.
	ErrEmpty = errors.New("empty repository")
	// ErrRefNotFound is a branch, tag or commit that the repository does not
	// have, or a short commit that names several.
	ErrRefNotFound = errors.New("no such ref")
	// ErrAuth means that the server refused the token, or asked for one.
	ErrAuth = errors.New("authentication refused")
	// ErrUnreachable means that no server answered as a Git server does.
	ErrUnreachable = errors.New("repository unreachable")
	// ErrTimeout means that a server, or a disk, took longer than Limits.Time or
	// Limits.Silence.
	ErrTimeout = errors.New("no answer in time")
	// ErrLimit means that one of the other Limits was passed.
	ErrLimit = errors.New("over the limit")
	// ErrMalformed is a revision that Git itself would refuse to check out.
	ErrMalformed = errors.New("malformed repository")
	// ErrEscapes is a symbolic link that leaves the tree.
	ErrEscapes = errors.New("link leaves the tree")
	// ErrUnverified is a commit whose signature is missing or does not count: see
	// [SignatureError].
	ErrUnverified = errors.New("signature does not count")
	// ErrKeySet means that the keys whose signatures count cannot be read.
	ErrKeySet = errors.New("no usable set of keys")
	// ErrSecret means that a file with a secret, a certificate or host keys cannot be
	// used.
	ErrSecret = errors.New("unusable credentials file")
	// ErrHostKey means that an ssh server is not the one that the known hosts name.
	ErrHostKey = errors.New("host key refused")
	// ErrNothingKnown means that neither the ref nor the last accepted commit could
	// be read: nothing may be concluded, least of all that nothing is wanted.
	ErrNothingKnown = errors.New("no accepted revision is known")
	// ErrHeld is a head that is not accepted: see [HeldError].
	ErrHeld = errors.New("revision is held")
	// ErrClosed is a Source or WorkTree used after Close.
	ErrClosed = errors.New("source is closed")
)

var (
	errIsDir  = errors.New("is a directory")
	errNotDir = errors.New("not a directory")
	errLoop   = errors.New("links that go in a circle")
)

// scrubbed hides secrets that a server or a proxy has echoed into an error.
type scrubbed struct {
	error
	secrets []Secret
}

func scrub(err error, secrets []Secret) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	shown := func(s Secret) bool { return s != "" && strings.Contains(text, string(s)) }
	if !slices.ContainsFunc(secrets, shown) {
		return err
	}
	return remedy.Mark(remedy.Of(err), scrubbed{err, secrets})
}

func (s scrubbed) Error() string {
	text := s.error.Error()
	for _, secret := range s.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, string(secret), hidden)
		}
	}
	return text
}

// Is reports on the hidden error; there is no Unwrap, which would hand out its text.
func (s scrubbed) Is(target error) bool { return errors.Is(s.error, target) }
