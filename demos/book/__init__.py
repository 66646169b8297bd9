"""The book: pages made from the library's source, its tests and exercises, and the demos' results.

    contents     the pages, from the README's map           results    figures, claims, numbers
    library      modules cut into blocks, names             laws       the tests as sentences
    highlight    code as HTML                               tasks      the exercises
    prose        docstrings as HTML                         pages      one page from these parts
    equations    the equations of the notes, in TeX         build      all pages, written
    typeset      TeX as SVG                                 templates  HTML, CSS, the search box
    landing, glossary, papers, search                       what is not the page of a module

Every page is a function of the source and of the results in the output folder, so none goes stale.
"""
