package living

import (
	"reflect"
	"testing"
)

func TestCount(t *testing.T) {
	got := Count([]string{"1.1", "1.2", "1.3"}, []string{"1.3", "1.1", "1.3", "1.4", "1.3"})
	want := Tally{Found: 3, Missing: []string{"1.2"}, Twice: []string{"1.3"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
