#!/bin/bash
#
# ghostscript.sh - Ghostscript: PostScript to pixels and to PDF, and that PDF to pixels.
#
# Compared: checksums of the pages; the PDF file has dates in it and is not compared.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/gs ghostscript

prepare()
{
    cat >pages.ps <<'EOF'
%!PS-Adobe-3.0
%%Pages: 4
/page-number 0 def
4 {
    /page-number page-number 1 add def
    % Curves and filled shapes.
    page-number srand
    250 {
        newpath
        rand 595 mod rand 842 mod moveto
        rand 595 mod rand 842 mod rand 595 mod rand 842 mod rand 595 mod rand 842 mod curveto
        rand 255 mod 255 div rand 255 mod 255 div rand 255 mod 255 div setrgbcolor
        rand 3 mod 0 eq { fill } { rand 9 mod setlinewidth stroke } ifelse
    } repeat
    % Text in sizes that the cache of characters does not know yet.
    6 1 40 {
        dup /Times-Roman findfont exch scalefont setfont
        20 mul 8 exch moveto 0 setgray
        (The quick brown fox jumps over the lazy dog 0123456789) show
    } for
    % A shading, and an image made by a procedure.
    gsave 300 400 translate
    << /ShadingType 3 /ColorSpace /DeviceRGB /Coords [0 0 10 0 0 180] /Extend [true false]
       /Function << /FunctionType 2 /Domain [0 1] /C0 [1 0 0] /C1 [0 0.2 1] /N 1.3 >> >> shfill
    grestore
    gsave 60 60 translate 200 200 scale
    /row 256 string def
    256 256 8 [256 0 0 256 0 0]
    { 0 1 255 { row exch dup 3 mul page-number add 255 and put } for row } image
    grestore
    % Dictionaries, strings and arrays, collected by the interpreter.
    1 1 3000 { dup 3 mod 0 eq { array } { string } ifelse pop } for
    0 1 2000 { dup 20 string cvs cvn exch 100 dict dup 3 1 roll begin def end pop } for
    vmreclaim-now
    showpage
} repeat
EOF
    sed -i 's/vmreclaim-now/2 vmreclaim/' pages.ps
}

render()
{
    under /usr/bin/gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=ppmraw -r90 "$@"
}

session()
{
    local input=$XA_PROGRAMS_FOLDER/input/pages.ps
    prove /usr/bin/gs -q -dNODISPLAY -dBATCH -c quit
    render -dTextAlphaBits=4 -dGraphicsAlphaBits=4 -o plain%d.ppm "$input"
    # In bands, by two threads.
    render -dMaxBitmap=1000 -dBufferSpace=2000000 -dNumRenderingThreads=2 -o bands%d.ppm "$input"
    under /usr/bin/gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=pdfwrite -o pages.pdf "$input"
    render -o pdf%d.ppm pages.pdf
    digest ./*.ppm
}

run_program
