package live_test

import (
	"bytes"
	"testing"

	"github.com/lanyard-io/lanyard/sync/live"
)

// FuzzDecode: whatever the bytes, Decode answers without panic, and what it takes is
// written in both forms so that it reads back as the same.
func FuzzDecode(f *testing.F) {
	for _, encode := range []func(live.Facts) ([]byte, error){live.Facts.EncodeJSON, live.Facts.EncodeYAML} {
		data, err := encode(inhabited())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(head))
	f.Add([]byte(jsonHead + "}"))
	f.Add([]byte(head + "nodes: [&a {name: \"x\\r\\n\\u0085\"}]\ngaps: [{source: 'kubernetes:pods', reason: failed, message: \"\\x7f\\nb\"}]\n"))
	f.Add([]byte(jsonHead + `,"serviceAccounts":[{"namespace":"a","name":"b","annotations":{"\n":" \n","yes":"1:20"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			t.Skip()
		}
		facts, err := live.DecodeFacts(data)
		if err != nil {
			return
		}
		_, _ = live.New(facts)
		first, err := facts.EncodeJSON()
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", data, err)
		}
		y, err := facts.EncodeYAML()
		if err != nil {
			t.Fatalf("%q is read and cannot be written as YAML: %v", data, err)
		}
		for _, text := range [][]byte{first, y} {
			back, err := live.DecodeFacts(text)
			if err != nil {
				t.Fatalf("%q is written as\n%s\nwhich is not read: %v", data, text, err)
			}
			if again, err := back.EncodeJSON(); err != nil || !bytes.Equal(first, again) {
				t.Fatalf("%q is written as\n%s\nand that as\n%s\n%v", data, first, again, err)
			}
		}
	})
}
