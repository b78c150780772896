package trust

import "testing"

func TestWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[Decision]string{Deny: "deny", Allow: "allow", Undecidable: "undecidable", Invalid: "invalid", 9: "decision(9)"} {
		if d.String() != want {
			t.Errorf("Decision(%d) = %q, want %q", uint8(d), d, want)
		}
		text, _ := d.MarshalText()
		var back Decision
		if err := back.UnmarshalText(text); (err == nil) != (d <= Invalid) || err == nil && back != d {
			t.Errorf("%v read back as %v, %v", d, back, err)
		}
	}
	for c := NoCause; c <= Other+1; c++ {
		text, _ := c.MarshalText()
		var back Cause
		if err := back.UnmarshalText(text); (err == nil) != (c <= Other) || err == nil && back != c {
			t.Errorf("%v read back as %v, %v", c, back, err)
		}
	}
	if got := OtherSubject.String() + " " + Cause(99).String(); got != "other-subject cause(99)" {
		t.Errorf("causes are %q", got)
	}
	if Deny != 0 {
		t.Error("the zero Decision must be deny")
	}
}
