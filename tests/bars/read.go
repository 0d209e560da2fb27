package bars

import (
	"encoding/xml"
	"errors"
	"fmt"
	"image/color"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Shape is a filled shape of a drawing: its colour and its extent, in points.
type Shape struct {
	Colour      string // such as "#1F4E79"
	Left, Right float64
}

var (
	filled = regexp.MustCompile(`^fill:(#[0-9A-F]{6})$`)
	point  = regexp.MustCompile(`[ML](-?[0-9.]+),`)
)

// Shapes reads a drawing back, for tests, without its background. It fails if the
// drawing is not well-formed XML or a shape is empty.
func Shapes(svg string) ([]Shape, error) {
	decoder := xml.NewDecoder(strings.NewReader(svg))
	var shapes []Shape
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return shapes[min(1, len(shapes)):], nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, svg)
		}
		element, ok := token.(xml.StartElement)
		if !ok || element.Name.Local != "path" {
			continue
		}
		attributes := map[string]string{}
		for _, a := range element.Attr {
			attributes[a.Name.Local] = a.Value
		}
		style := filled.FindStringSubmatch(attributes["style"])
		if style == nil {
			continue
		}
		shape := Shape{Colour: style[1], Left: Width, Right: 0}
		for _, match := range point.FindAllStringSubmatch(attributes["d"], -1) {
			x, err := strconv.ParseFloat(match[1], 64)
			if err != nil {
				return nil, err
			}
			shape.Left, shape.Right = min(shape.Left, x), max(shape.Right, x)
		}
		if shape.Left >= shape.Right {
			return nil, fmt.Errorf("an empty shape: %v", attributes)
		}
		shapes = append(shapes, shape)
	}
}

// Check compares the number of shapes of each colour with want, and finds shapes
// outside of the margins.
func Check(svg string, want map[color.Color]int) error {
	shapes, err := Shapes(svg)
	if err != nil {
		return err
	}
	colours := map[string]int{}
	var all []error
	for _, shape := range shapes {
		colours[shape.Colour]++
		if shape.Left < Margin || shape.Right > Width-Margin {
			all = append(all, fmt.Errorf("outside: %+v", shape))
		}
	}
	for colour, want := range want {
		r, g, b, _ := colour.RGBA()
		name := fmt.Sprintf("#%02X%02X%02X", r>>8, g>>8, b>>8)
		if colours[name] != want {
			all = append(all, fmt.Errorf("%d shapes are %s, want %d", colours[name], name, want))
		}
	}
	return errors.Join(all...)
}
