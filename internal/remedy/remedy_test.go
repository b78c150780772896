package remedy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

func TestOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("throttled")
	for _, tt := range []struct {
		name string
		err  error
		want remedy.Class
	}{
		{"nil", nil, remedy.None},
		{"marked nil stays nil", remedy.Mark(remedy.Halt, nil), remedy.None},
		{"marked", remedy.Mark(remedy.Retry, cause), remedy.Retry},
		{"wrapped mark", fmt.Errorf("get role: %w", remedy.Mark(remedy.Hold, cause)), remedy.Hold},
		{"innermost mark wins", remedy.Mark(remedy.Halt, fmt.Errorf("x: %w", remedy.Mark(remedy.Replan, cause))), remedy.Replan},
		{"ended context", fmt.Errorf("list: %w", context.DeadlineExceeded), remedy.Retry},
		{"unmarked halts", cause, remedy.Halt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := remedy.Of(tt.err); got != tt.want {
				t.Errorf("Of(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
	if err := remedy.Mark(remedy.Retry, cause); !errors.Is(err, cause) {
		t.Errorf("Mark(%v) lost its cause", cause)
	}
}
