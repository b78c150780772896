package report_test
import ("testing";"strings")
func TestLook(t *testing.T){ d:=example(t).diff(); var b,c,e strings.Builder; d.Text(&b,nil); d.Markdown(&c); d.Table(&e,nil); t.Log("\n"+b.String()+"\n=====\n"+c.String()+"\n=====\n"+e.String())}
