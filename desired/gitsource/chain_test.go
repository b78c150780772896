package gitsource

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// chain is a pack of one blob and n deltas, each on the one before it: the first
// byHash by its hash, the others by its place. Each adds a byte to the front and drops the last.
func chain(n, size, byHash int) ([]byte, plumbing.Hash) {
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, []uint32{2, uint32(n + 1)})
	object := func(kind byte, base, data []byte) {
		head, rest := kind<<4|byte(len(data)&15), len(data)>>4
		for ; rest > 0; rest >>= 7 {
			b.WriteByte(head | 0x80)
			head = byte(rest & 0x7f)
		}
		b.WriteByte(head)
		b.Write(base)
		z := zlib.NewWriter(&b)
		_, _ = z.Write(data)
		_ = z.Close()
	}
	body := bytes.Repeat([]byte{'.'}, size)
	last, hash := b.Len(), plumbing.ComputeHash(plumbing.BlobObject, body)
	object(3, nil, body)
	for i := range n {
		at := b.Len()
		delta := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(size)), uint64(size))
		delta = append(delta, 1, byte(i))                                                // insert one byte
		delta = append(delta, 0xf0, byte(size-1), byte((size-1)>>8), byte((size-1)>>16)) // copy from the start
		back := []byte{byte((at - last) & 0x7f)}
		for rest := (at - last) >> 7; rest > 0; rest >>= 7 {
			rest--
			back = append([]byte{byte(rest&0x7f) | 0x80}, back...)
		}
		if i < byHash {
			object(7, hash[:], delta)
		} else {
			object(6, back, delta)
		}
		body = append([]byte{byte(i)}, body[:size-1]...)
		last, hash = at, plumbing.ComputeHash(plumbing.BlobObject, body)
	}
	sum := sha1.Sum(b.Bytes())
	b.Write(sum[:])
	return b.Bytes(), hash
}

// TestChainsOfDeltas: a small pack may not take its reader gigabytes of copying.
func TestChainsOfDeltas(t *testing.T) {
	t.Parallel()
	limits := Limits{ObjectBytes: 100_000, UnpackedBytes: 4 << 20}.orDefault()
	for _, tt := range []struct {
		name            string
		n, size, byHash int
		want            string // the limit
	}{
		{"as Git makes it", 50, 10_000, 0, ""},
		{"by hash", 1, 10_000, 1, ""},
		{"long, of a small file", 1000, 1000, 0, "UnpackedBytes"},
		{"one object that takes all that it may", 7, 100_000, 0, ""},
		{"one object that takes too much", 8, 100_000, 0, "ObjectBytes"},
		{"one object that takes too much, by way of a hash", 8, 100_000, 1, "ObjectBytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data, last := chain(tt.n, tt.size, tt.byHash)
			got, err := unpack(t.Context(), bytes.NewReader(data), "", limits)
			limit := ""
			if over, ok := errors.AsType[*LimitError](err); ok {
				limit = over.Limit
			}
			if limit != tt.want || (err == nil) != (tt.want == "") {
				t.Fatalf("unpack of %d bytes = %v, want limit %q", len(data), err, tt.want)
			}
			if err != nil {
				return
			}
			if content, err := got.blob(last, 1<<20); err != nil || len(content) != tt.size {
				t.Errorf("blob = %d bytes, %v, want %d", len(content), err, tt.size)
			}
		})
	}
}
