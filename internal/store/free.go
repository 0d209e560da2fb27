package store

// Free is the room that a file system has left, in bytes. What is set aside for
// the contents of files is of no use for the rest, and the other way round;
// what is not set aside yet is for whichever comes first.
type Free struct {
	Data     uint64 // set aside for the contents of files, each byte once
	Metadata uint64 // set aside for names, attributes and small files, each byte once
	Spare    uint64 // not set aside yet, as the disks have it
	// DataCopies and MetadataCopies are how many bytes of Spare one of either
	// takes: 2 on a mirror.
	DataCopies, MetadataCopies float64
}

// DataBeside is how much of the contents of files still fits beside that much
// metadata.
func (f Free) DataBeside(metadata uint64) uint64 {
	more := float64(metadata-min(metadata, f.Metadata)) * f.MetadataCopies
	return f.Data + uint64(max(0, float64(f.Spare)-more)/f.DataCopies)
}

// AllMetadata is how much metadata still fits, if nothing else is written.
func (f Free) AllMetadata() uint64 { return f.Metadata + uint64(float64(f.Spare)/f.MetadataCopies) }

// Holds says whether that many bytes of both fit together.
func (f Free) Holds(data, metadata uint64) bool {
	more := float64(data-min(data, f.Data))*f.DataCopies + float64(metadata-min(metadata, f.Metadata))*f.MetadataCopies
	return more <= float64(f.Spare)
}
