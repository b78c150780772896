package gitsource_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/lanyard-io/lanyard/desired/gitsource"
	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	noise := make([]byte, 1<<20)
	for i, source := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = byte(source.Uint32())
	}
	f.commit(t, gitd.Change{Write: map[string]string{
		"big.yaml": strings.Repeat("# a lot of the same\n", 1<<16), "noise.bin": string(noise),
	}})
	for name, server := range map[string]*gitd.Server{
		"go-git": f.serve(t, gitd.Options{}),
		"git":    f.serve(t, gitd.Options{Git: gitBinary(t)}),
	} {
		for _, tt := range []struct {
			limit  string
			limits gitsource.Limits
		}{
			{"ListingBytes", gitsource.Limits{ListingBytes: 100}},
			{"PackBytes", gitsource.Limits{PackBytes: 1 << 19}},
			{"UnpackedBytes", gitsource.Limits{UnpackedBytes: 2 << 20}},
			{"ObjectBytes", gitsource.Limits{ObjectBytes: 1<<20 + 1}},
			{"Objects", gitsource.Limits{Objects: 5}},
			{"Files", gitsource.Limits{Files: 6}},
			{"Depth", gitsource.Limits{Depth: 3}},
		} {
			t.Run(tt.limit+"/"+name, func(t *testing.T) {
				t.Parallel()
				src := open(t, gitsource.Options{URL: server.URL, Ref: "main", Limits: tt.limits})
				_, _, err := src.Latest(t.Context())
				over, ok := errors.AsType[*gitsource.LimitError](err)
				if !ok || over.Limit != tt.limit || remedy.Of(err) != remedy.Hold {
					t.Fatalf("Latest = %v (remedy %v), want a LimitError for %s (remedy hold)", err, remedy.Of(err), tt.limit)
				}
				if !errors.Is(err, gitsource.ErrLimit) || !strings.Contains(err.Error(), "raise "+tt.limit) {
					t.Errorf("error %q does not say what to raise", err)
				}
			})
		}
	}
}

func TestFileBytesBoundsReadingOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.commit(t, gitd.Change{Write: map[string]string{"big.yaml": strings.Repeat("x", 1000)}})
	for way, options := range origins(t, f) {
		options.Ref, options.Limits = "main", gitsource.Limits{FileBytes: 999}
		got, _ := latest(t, open(t, options))
		if info, err := fs.Stat(got.FS, "big.yaml"); err != nil || info.Size() != 1000 {
			t.Errorf("%s: Stat(big.yaml) = %v, %v, want 1000 bytes", way, info, err)
		}
		_, err := fs.ReadFile(got.FS, "big.yaml")
		if over, ok := errors.AsType[*gitsource.LimitError](err); !ok || over.Limit != "FileBytes" {
			t.Errorf("%s: ReadFile(big.yaml) = %v, want a LimitError for FileBytes", way, err)
		}
		if got := content(t, got.FS, "README.md"); got != "fleet\n" {
			t.Errorf("%s: README.md = %q, want it readable beside a large file", way, got)
		}
	}
}

// TestTreeThatContainsItselfManyTimes is a few kilobytes that say 10^12 files.
func TestTreeThatContainsItselfManyTimes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	hash, err := f.Blob("x")
	f.do(t, err)
	mode := filemode.Regular
	var entries []gitd.Entry
	for range 12 {
		entries = nil
		for _, name := range strings.Split("abcdefghij", "") {
			entries = append(entries, gitd.Entry{Name: name, Mode: mode, Hash: hash})
		}
		hash, err = f.Tree(entries...)
		f.do(t, err)
		mode = filemode.Dir
	}
	f.raw(t, entries...)
	_, _, err = open(t, gitsource.Options{URL: f.Dir, Ref: "main"}).Latest(t.Context())
	if over, ok := errors.AsType[*gitsource.LimitError](err); !ok || over.Limit != "Files" {
		t.Errorf("Latest = %v, want a LimitError for Files", err)
	}
}

// packObject is an object as a pack holds it, with the length it claims to have.
type packObject struct {
	kind   byte // 1 commit, 2 tree, 3 blob, 7 delta against a hash
	length int
	base   string
	data   []byte
}

func pack(count int, objects ...packObject) []byte {
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, uint32(2))
	_ = binary.Write(&b, binary.BigEndian, uint32(count))
	for _, o := range objects {
		head, rest := o.kind<<4|byte(o.length&15), o.length>>4
		for ; rest > 0; rest >>= 7 {
			b.WriteByte(head | 0x80)
			head = byte(rest & 0x7f)
		}
		b.WriteByte(head)
		b.WriteString(o.base)
		z := zlib.NewWriter(&b)
		_, _ = z.Write(o.data)
		_ = z.Close()
	}
	sum := sha1.Sum(b.Bytes())
	b.Write(sum[:])
	return b.Bytes()
}

// leb is the variable-length integer that a delta starts with.
func leb(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func TestHostilePacks(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	server := f.serve(t, gitd.Options{})
	blob := packObject{kind: 3, length: 1, data: []byte("x")}
	id := sha1.Sum([]byte("blob 1\x00x"))
	delta := func(target int) packObject {
		data := append(append(leb(1), leb(target)...), 0x90, 1) // copy one byte of the base
		return packObject{kind: 7, length: len(data), base: string(id[:]), data: data}
	}
	good := pack(1, blob)
	for _, tt := range []struct {
		name string
		pack []byte
		is   error
		say  string
	}{
		{"a bomb that says so", pack(1, packObject{kind: 3, length: 1 << 30, data: nil}), gitsource.ErrLimit, "ObjectBytes"},
		{"a bomb that lies", pack(1, packObject{kind: 3, length: 1, data: make([]byte, 64<<20)}), gitsource.ErrMalformed, "exceeds declared size"},
		{"a delta that grows", pack(2, blob, delta(1<<30)), gitsource.ErrLimit, "ObjectBytes"},
		{"many that add up", pack(3, blob, delta(30<<20), delta(30<<20)), gitsource.ErrLimit, "UnpackedBytes"},
		{"a delta that lies", pack(2, blob, delta(1000)), gitsource.ErrMalformed, "delta"},
		{"a delta on nothing", pack(1, delta(1)), gitsource.ErrMalformed, "delta"},
		{"a count that lies", pack(1<<31, blob), gitsource.ErrLimit, "Objects"},
		{"a count that lies a little", pack(2, blob), gitsource.ErrMalformed, "pack"},
		{"no checksum", good[:len(good)-20], gitsource.ErrMalformed, "pack"},
		{"another checksum", append(bytes.Clone(good[:len(good)-20]), make([]byte, 20)...), gitsource.ErrMalformed, "checksum"},
		{"cut", good[:15], gitsource.ErrMalformed, "pack"},
		{"no pack", []byte("hello, this is no pack"), gitsource.ErrUnreachable, "signature"},
		{"another pack", good, gitsource.ErrMalformed, "read object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src := open(t, gitsource.Options{
				URL: server.URL, Ref: "main", Limits: gitsource.Limits{UnpackedBytes: 50 << 20},
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet {
						return http.DefaultTransport.RoundTrip(r)
					}
					body := append([]byte("0008NAK\n"), tt.pack...)
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
				}),
			})
			_, _, err := src.Latest(t.Context())
			if !errors.Is(err, tt.is) || !strings.Contains(errorText(err), tt.say) {
				t.Errorf("Latest = %v, want %v saying %q", err, tt.is, tt.say)
			}
		})
	}
}
