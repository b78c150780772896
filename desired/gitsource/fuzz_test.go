package gitsource

import (
	"bytes"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// FuzzPack feeds arbitrary bytes in place of a pack: they end in an error, or in
// objects that stay within the limits. The corpus has a header that counts two
// thousand million objects, for which go-git makes room before it reads the first;
// only examine stands before that.
func FuzzPack(f *testing.F) {
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e"))
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01\x31x\x9c\xaa\x00\x00\x00y\x00y"))
	f.Add([]byte("PACK"))
	limits := Limits{ObjectBytes: 1 << 16, UnpackedBytes: 1 << 18, Objects: 100}.orDefault()
	f.Fuzz(func(t *testing.T, pack []byte) {
		disk, drop, err := scratch("")
		if err != nil {
			t.Fatal(err)
		}
		defer drop()
		if err := spool(t.Context(), bytes.NewReader(pack), disk, limits); err != nil {
			return
		}
		o := &objects{store: storageOn(disk), limits: limits}
		defer o.close()
		objects, err := o.store.IterEncodedObjects(plumbing.AnyObject)
		if err != nil {
			return
		}
		_ = objects.ForEach(func(e plumbing.EncodedObject) error {
			_, _ = o.commit(e.Hash())
			_, _ = o.tree(e.Hash())
			return nil
		})
	})
}
