package store

import "testing"

func TestFreeHolds(t *testing.T) {
	free := Free{Data: 100, Metadata: 10, Spare: 40, DataCopies: 1, MetadataCopies: 2}
	if got := free.AllMetadata(); got != 30 {
		t.Errorf("AllMetadata = %d, want 30", got)
	}
	for metadata, want := range map[uint64]uint64{0: 140, 10: 140, 20: 120, 30: 100, 1000: 100} {
		if got := free.DataBeside(metadata); got != want {
			t.Errorf("DataBeside(%d) = %d, want %d", metadata, got, want)
		}
	}
	for _, tt := range []struct {
		data, metadata uint64
		want           bool
	}{
		{0, 0, true}, {100, 10, true},
		{140, 10, true}, {141, 10, false}, // data takes the unallocated space
		{0, 30, true}, {0, 31, false}, // metadata takes the unallocated space, twice
		{120, 20, true}, {121, 20, false}, {120, 21, false}, // both do
	} {
		if got := free.Holds(tt.data, tt.metadata); got != tt.want {
			t.Errorf("Holds(%d, %d) = %v", tt.data, tt.metadata, got)
		}
	}
}
