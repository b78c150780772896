package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSplitJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		open byte
		want string // items joined by |; "!" is an error
	}{
		{"[]", '[', ""},
		{" [ ] \n", '[', ""},
		{"{}", '{', ""},
		{`[1, "a,]\"" ,[2,{"b":[]}] , null]`, '[', `1|"a,]\""|[2,{"b":[]}]|null`},
		{`{"a" : 1,"b\"":{"c":[ ]}}`, '{', `"a"=1|"b\""={"c":[ ]}`},
		{`[{"a"}, 2 3]`, '[', `{"a"}|2 3`},
		{"[" + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + ",1]", '[', strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "|1"},
		{"", '[', "!"}, {"[", '[', "!"}, {"]", '[', "!"}, {"[1", '[', "!"}, {"[1,]", '[', "!"}, {"[,1]", '[', "!"}, {"[1]]", '[', "!"},
		{"[1}", '[', "!"}, {"{1}", '{', "!"}, {`{"a"}`, '{', "!"}, {`{"a":}`, '{', "!"}, {`{"a":1,}`, '{', "!"}, {`{"a`, '{', "!"}, {`{"a}`, '{', "!"},
		{`["a]`, '[', "!"}, {`["\"]`, '[', "!"}, {"{}", '[', "!"}, {"[]", '{', "!"}, {"[1][2]", '[', "!"}, {"[1]x", '[', "!"}, {`{"a":1}`, '[', "!"}, {"[1}]", '[', "!"},
	} {
		items, err := splitJSON([]byte(tt.in), tt.open)
		var got []string
		for _, i := range items {
			s := string(i.value)
			if i.name != nil {
				s = string(i.name) + "=" + s
			}
			got = append(got, s)
		}
		line := strings.Join(got, "|")
		if err != nil {
			line = "!"
		}
		if line != tt.want {
			t.Errorf("splitJSON(%.60q) = %.200s, want %.200s", tt.in, line, tt.want)
		}
	}
}

// What encoding/json takes as an array is cut where it cuts.
func FuzzSplitJSON(f *testing.F) {
	for _, s := range []string{"[]", `[1,"a\\",{"b":[null]}]`, "[[", `{"a":1}`, " [ 1 ] "} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := splitJSON(data, '[')
		var want []json.RawMessage
		if json.Unmarshal(data, &want) != nil || bytes.HasPrefix(bytes.TrimSpace(data), []byte("null")) {
			return
		}
		if err != nil || len(items) != len(want) {
			t.Fatalf("splitJSON(%q) = %d items, %v, want %d", data, len(items), err, len(want))
		}
		for i := range items {
			if !bytes.Equal(items[i].value, want[i]) {
				t.Fatalf("splitJSON(%q)[%d] = %q, want %q", data, i, items[i].value, want[i])
			}
		}
	})
}

func TestReadBounded(t *testing.T) {
	t.Parallel()
	world := func() World { return World{Stdin: strings.NewReader("12345678")} }
	if got, err := readBounded(world(), "-", 8); err != nil || string(got) != "12345678" {
		t.Errorf("readBounded to the limit = %q, %v", got, err)
	}
	if _, err := readBounded(world(), "-", 7); err == nil || !strings.Contains(err.Error(), "give it in parts") {
		t.Errorf("readBounded over the limit: %v, want an error that says what to do", err)
	}
}

// An answer for each element, in order, however many and however alike.
func TestBatchOfThousand(t *testing.T) {
	t.Parallel()
	var in, out bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&in, `%s{"id":%d,"trustPolicy":{"Id":"%d","Statement":{"Effect":"Allow","Principal":"*","Action":"*"}},"request":{"mechanism":"pod-identity","namespace":"demo","serviceAccount":"a","clusterARN":"arn:aws:eks:eu-central-1:123456789012:cluster/irsa-lab"}}`,
			map[bool]string{true: "[", false: ","}[i == 0], i, i%10)
	}
	in.WriteByte(']')
	docs := library{}
	err := batch(World{Stdin: &in, Stdout: &out}, "-", func(b *bytes.Buffer, e element) {
		decision, reason := docs.eval(e, time.Time{})
		fmt.Fprintf(b, `{"id":%s,"decision":%q,"reasons":[%s]}`, e.id(), decision, quote(reason))
	})
	var got []struct {
		ID       int
		Decision string
	}
	if err != nil || json.Unmarshal(out.Bytes(), &got) != nil || len(got) != 1000 {
		t.Fatalf("batch: %d answers, %v", len(got), err)
	}
	for i, a := range got {
		if a.ID != i || a.Decision != "allow" {
			t.Fatalf("answer %d is %+v, want allow", i, a)
		}
	}
	if len(docs) != 10 {
		t.Errorf("%d documents were parsed, want each content once: 10", len(docs))
	}
}
