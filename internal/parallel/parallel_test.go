package parallel

import (
	"errors"
	"strconv"
	"testing"
)

func TestEachCallsAll(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		times := make([]int, n)
		if err := Each(n, func(i int) error { times[i]++; return nil }); err != nil {
			t.Fatal(err)
		}
		for i, done := range times {
			if done != 1 {
				t.Errorf("%d of %d was done %d times", i, n, done)
			}
		}
	}
}

// TestEachReturnsAnError lets all calls from one number on fail. All earlier calls have
// started.
func TestEachReturnsAnError(t *testing.T) {
	const n, bad = 1000, 500
	times := make([]int, n)
	err := Each(n, func(i int) error {
		times[i]++
		if i >= bad {
			return errors.New(strconv.Itoa(i))
		}
		return nil
	})
	if err == nil || err.Error() != strconv.Itoa(bad) {
		t.Errorf("the error is %v", err)
	}
	for i := range bad {
		if times[i] != 1 {
			t.Errorf("%d was done %d times", i, times[i])
		}
	}
}
