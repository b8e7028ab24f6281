#!/bin/bash
#
# imagemagick.sh - ImageMagick: filters on several threads, colour reduction, formats, animation.
#
# Compared: checksums of the pixels.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
# The programs of the package by their own names: `convert` may be anything.
need /usr/bin/convert-im6.q16 imagemagick-6.q16

convert_under()
{
    under OMP_NUM_THREADS=3 MAGICK_TEMPORARY_PATH="$PWD" /usr/bin/convert-im6.q16 "$@"
}

session()
{
    local format
    prove /usr/bin/convert-im6.q16 -size 10x10 xc:red null:
    convert_under -size 500x400 -seed 42 plasma:tomato-steelblue plasma.ppm
    convert_under -size 400x500 gradient:yellow-navy -rotate 30 -swirl 60 swirl.ppm
    convert_under plasma.ppm -gaussian-blur 0x3 -sharpen 0x1 -modulate 110,130,80 blur.ppm
    convert_under plasma.ppm -resize 1400x900 -unsharp 0x2 -crop 700x600+50+60 +repage resize.ppm
    convert_under plasma.ppm -distort Perspective \
        '0,0 20,30  499,0 480,10  0,399 5,380  499,399 450,390' distort.ppm
    convert_under plasma.ppm swirl.ppm -gravity center -compose multiply -composite composite.ppm
    convert_under plasma.ppm -colors 40 -dither FloydSteinberg quantised.ppm
    convert_under plasma.ppm -morphology Dilate Disk:4 -edge 2 morphology.ppm
    convert_under -size 200x200 xc:white -fill none -stroke blue -strokewidth 5 \
        -draw 'circle 100,100 100,20' -draw 'bezier 10,10 190,50 10,150 190,190' draw.ppm
    # Through other formats and back; the files themselves may hold dates.
    for format in png tiff gif bmp miff; do
        convert_under quantised.ppm -strip "format.$format"
        convert_under "format.$format" "from-$format.ppm"
    done
    convert_under -delay 5 plasma.ppm blur.ppm composite.ppm -resize 100x100! -layers optimize \
        animation.gif
    convert_under animation.gif -coalesce frame-%d.ppm
    under /usr/bin/compare-im6.q16 -metric AE plasma.ppm from-png.ppm null: || [[ $? == 1 ]]
    under /usr/bin/identify-im6.q16 -format '%f %wx%h %k\n' ./*.ppm
    digest ./*.ppm
}

run_program
