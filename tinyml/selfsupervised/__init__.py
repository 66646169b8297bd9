"""Lesson 10.3: learning without labels, from the pretext task to the deployed model.

    1. pretext task     a loss that needs no labels         masked_loss, nt_xent, byol_loss
    2. pre-training     an encoder f learns this task       every module up to ts_tcc
    3. features         z = f(x)                            downstream.extract_features
    4. task head        g learns labels from z              downstream.linear_probe
    5. deployed model   g(f(x))                             deploy.Classifier

Masked representation learning, section 10.3.1:

    masking           hide a part of the input: tokens, patches, spans, edges
    masked_tokens     BERT: a transformer restores hidden tokens
    markov            a language whose best guess is known, to judge masked_tokens by
    masked_patches    MAE: restore three quarters of an image from the rest
    masked_edges      predict the hidden edges of a graph

Contrastive learning, section 10.3.2:

    augmentations     views of an image: rotate, shift, scale, erase, add noise
    contrastive       losses that attract positive pairs: NT-Xent, InfoNCE
    simclr            negatives are the other images of the batch
    moco              negatives are a queue of earlier images, encoded by a slow copy
    byol              no negatives at all, and why it does not collapse
    series            sensors over time: synthetic data, files, views
    ts_tcc            predict the future of one view from the past of the other

Labels:

    downstream        from features to labels: a linear probe, neighbours, fine-tuning
    label_efficiency  how many labels good features save
    deploy            encoder and head in one file, from raw input to probabilities
"""
